"""The page that shows how to add a family is followed, in memory."""

from tests.new_family import PAGE, load


async def test_the_page_adds_up_numbers_and_buries_what_is_none() -> None:
    store, progress = await load().try_in_memory()
    assert store.total == 5_050
    assert (progress.dead_letters, progress.released) == (1, 0)
    text = PAGE.read_text(encoding="utf-8")
    assert "`store.total` is 5,050, and `progress.dead_letters` is 1." in text
