"""The benchmarks' own rules: what is read from wrk, what is billed, how ages and ratios come about, what is drawn."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import cost, freshness, load, operations, plot, prices, queue, raw, table
from benchmarks.cloud import Inexact
from benchmarks.freshness import Sight
from benchmarks.operations import Operations
from benchmarks.rivals import bench as rivals
from benchmarks.rivals import serve
from tests.factories import make_poll, make_settings
from turnout.votes.bundle import decode, encode
from turnout.votes.poll import OnePer

REPORT = """Running 3s test @ http://127.0.0.1:22729/vote
  1 threads and 512 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   832.64ms  498.47ms   2.37s    76.73%
    Req/Sec   282.79    408.30     1.92k    92.86%
  Latency Distribution
     50%  631.08ms
     75%    1.06s 
     90%    1.66s 
     99%    2.22s 
  808 requests in 3.01s, 137.45KB read
Requests/sec:    268.58
Transfer/sec:     45.69KB
"""  # noqa: W291  # wrk pads its seconds


def test_a_report_of_wrk_is_read_with_each_of_its_units() -> None:
    assert load.read_report(REPORT) == load.Load(
        requests=808, per_second=268.58, p50_ms=631.08, p99_ms=2_220.0, errors=0
    )
    short = REPORT.replace("631.08ms", "812.00us").replace("99%    2.22s ", "99%    1.50m ")
    assert (load.read_report(short).p50_ms, load.read_report(short).p99_ms) == (0.812, 90_000.0)


def test_every_kind_of_failed_request_is_an_error() -> None:
    failed = (
        REPORT + "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 50\n"
    )
    assert load.read_report(failed).errors == 60


def test_a_paced_load_says_how_many_requests_were_late() -> None:
    assert load.read_report(REPORT + "Paced requests late: 5 of 20\n").late == 0.25


def test_a_report_without_requests_is_refused_and_shown() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        load.read_report("unable to connect to 127.0.0.1:1 Connection refused")


def test_the_age_of_a_confirmation_ends_with_the_first_reading_that_shows_it() -> None:
    confirmed = [Sight(10.0, 100), Sight(11.0, 200), Sight(12.0, 300)]
    shown = [Sight(9.0, 0), Sight(10.5, 150), Sight(11.2, 299), Sight(15.0, 300)]
    assert freshness.ages(confirmed, shown) == pytest.approx([0.5, 0.2, 3.0])


def test_a_vote_that_is_shown_before_its_answer_has_come_has_no_age() -> None:
    assert freshness.ages([Sight(2.0, 1)], [Sight(1.0, 1)]) == [0.0]


def test_a_confirmation_that_is_never_shown_is_inexact() -> None:
    with pytest.raises(Inexact, match="2 votes were confirmed"):
        freshness.ages([Sight(1.0, 1), Sight(2.0, 2)], [Sight(3.0, 1)])


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(percent: float, expected: int) -> None:
    assert freshness.percentile(range(100, 0, -1), percent) == expected


def test_the_percentile_of_one_value_is_that_value() -> None:
    assert freshness.percentile([7.0], 99) == 7.0


def test_a_million_full_bundles_of_two_thousand_writes_are_billed_as_the_list_says() -> None:
    done = Operations(
        requests=1e6,
        writes=2_020,
        deletes=2_000,
        reads=100_000,
        published_bytes=2.0**40,
        cpu_seconds=60,
        job_cpu_seconds=30,
    )
    billed = operations.bill(done)
    assert billed.requests == pytest.approx(0.40)
    assert billed.pubsub == pytest.approx(40.0)
    assert billed.firestore == pytest.approx(2_020 * 9e-7 + 2_000 * 1e-7 + 0.03)
    assert billed.compute == pytest.approx(
        (60 * (0.000024 + 0.5 * 0.0000025) + 30 * (0.000018 + 0.5 * 0.000002)) / prices.UTILISATION
    )
    assert billed.total == pytest.approx(billed.requests + billed.compute + billed.pubsub + billed.firestore)


def test_operations_add_up_and_scale() -> None:
    once = Operations(requests=2, writes=3, cpu_seconds=0.5)
    assert once.plus(once) == once.times(2) == Operations(requests=4, writes=6, cpu_seconds=1.0)


def test_the_obvious_design_pays_a_write_a_vote() -> None:
    designs = cost.computed(intake_cpu_seconds=0)
    firestore = {name: operations.bill(done).firestore for name, done in designs.items()}
    assert firestore == {
        "Increment a POST, inexact": pytest.approx(0.9),
        "Increment and entry a POST": pytest.approx(1.9),
        "Firebase counter (computed)": pytest.approx(1.3),
    }


def test_ratios_are_of_the_same_round() -> None:
    assert table.ratios([10.0, 30.0], [5.0, 10.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        table.ratios([1.0, 2.0], [1.0])


def test_the_best_queue_is_chosen_in_each_round_anew() -> None:
    def load_of(per_second: float) -> load.Load:
        return load.Load(requests=1, per_second=per_second, p50_ms=1, p99_ms=2, errors=0)

    rates = {
        "Turnout": (80, 90),
        "Increment": (4, 3),
        "Celery": (10, 30),
        "Dramatiq": (20, 10),
        "arq": (5, 5),
    }
    loads = {name: [load_of(each) for each in of_one] for name, of_one in rates.items()}
    found = {(each.name, each.unit): each for each in rivals.figures_of(512, loads)}
    best = found["intake ÷ rivals, 512 connections", "best queue"]
    increment = found["intake ÷ rivals, 512 connections", "Increment"]
    assert (best.least, best.most, best.target) == (3.0, 4.0, "≥ 4")
    assert (increment.least, increment.most, increment.target) == (20.0, 30.0, "≥ 20")


def test_a_median_keeps_its_spread() -> None:
    figure = table.median_of("intake", "votes/s", [3.0, 1.0, 2.0], "≥ 2")
    assert (figure.least, figure.median, figure.most, figure.target) == (1.0, 2.0, 3.0, "≥ 2")


@pytest.mark.parametrize("mode", list(OnePer))
def test_bundles_hold_so_many_votes_in_polls_that_take_turns(mode: OnePer) -> None:
    polls = [make_poll(id="finals", one_per=mode), make_poll(id="semis", one_per=mode)]
    made = list(queue.make_bundles(polls, votes=7, bundles=4))
    assert [bundle.poll for bundle in made] == ["finals", "semis"] * 2
    assert {bundle.votes for bundle in made} == {7}
    assert len({bundle.id for bundle in made}) == 4
    assert all(decode(encode(bundle)) == bundle for bundle in made)
    keys = [key for bundle in made for key, _ in bundle.keyed]
    assert len(set(keys)) == len(keys) == (0 if mode is OnePer.NONE else 28)


@pytest.mark.parametrize(
    ("votes", "spread"), [(1, {0: 1}), (4, {0: 1, 1: 1, 2: 1, 3: 1}), (6, {0: 2, 1: 2, 2: 1, 3: 1})]
)
def test_a_raw_load_counts_every_vote(votes: int, spread: dict[int, int]) -> None:
    assert raw.Load(poll="finals", votes=votes, bundles=1, keyed=False).counts == spread


def test_a_raw_load_has_an_entry_a_bundle_and_one_a_key() -> None:
    assert raw.Load(poll="finals", votes=500, bundles=1, keyed=False).entries == 1
    assert raw.Load(poll="finals", votes=500, bundles=1, keyed=True).entries == 501


class Sent:
    """A channel that keeps what is sent through it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def unary_unary(self, method: str) -> object:
        async def stub(request: bytes, **_: object) -> bytes:
            self.requests.append(request)
            return b""

        return stub


async def test_a_raw_commit_has_the_entries_and_increments_of_its_bundles() -> None:
    channel = Sent()
    load_of_keys = raw.Load(poll="finals", votes=6, bundles=2, keyed=True)
    commits = raw.Commits(channel, make_settings(), load_of_keys)
    await commits.commit(list(commits.prepare()), shard=3)
    [sent] = channel.requests
    request = raw.CommitRequest.FromString(sent)
    assert request.database == "projects/test/databases/(default)"
    *entries, increments = request.writes
    assert len({write.update.name for write in entries}) == 2 * (1 + 6)
    assert all(write.current_document.exists is False for write in entries)
    transforms = {each.field_path: each.increment.integer_value for each in increments.update_transforms}
    assert increments.update.name.endswith("/polls/finals/shards/3")
    assert transforms == {
        "votes": 12, "duplicates": 0, "bundles": 2, "updated_at": 0,
        "counts.`0`": 4, "counts.`1`": 4, "counts.`2`": 2, "counts.`3`": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bench", "said"), [("rivals", "wrk is not on PATH"), ("intake", "wrk is not on PATH")]
)
def test_a_missing_tool_is_said_before_anything_starts(
    bench: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(command.app, ["--only", bench])
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_missing_redis_is_named_with_its_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(serve.RedisMissing, match="apt install redis-server"):
        serve.expect_installed()


def test_a_missing_library_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LIBRARIES", ("celery", "no_such_library"))
    with pytest.raises(serve.LibrariesMissing, match=r"no_such_library cannot .* '\.\[bench\]'"):
        serve.expect_installed()


def measured(*names_and_units: tuple[str, str]) -> table.Report:
    figures = [table.median_of(name, unit, [1.0, 2.0, 4.0]) for name, unit in names_and_units]
    return table.Report(machine={"cores": "2"}, figures=figures)


RIVAL_FIGURES = [(f"{name}, 512 connections", "votes/s") for name in plot.RIVALS]


def test_the_same_figures_are_drawn_as_the_same_bytes(tmp_path: Path) -> None:
    report = measured(*RIVAL_FIGURES)
    first = [path.read_bytes() for path in plot.draw_all(report, tmp_path / "first")]
    second = [path.read_bytes() for path in plot.draw_all(report, tmp_path / "second")]
    assert len(first) == 1
    assert first == second


def test_a_picture_without_its_figures_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = plot.draw_all(measured(*RIVAL_FIGURES[1:]), tmp_path)
    assert written == []
    assert (
        "bench-rivals.svg is left out: this run has no figure of Turnout, 512 connections"
        in capsys.readouterr().err
    )


def test_every_picture_is_drawn_from_a_report_that_was_written_and_read(tmp_path: Path) -> None:
    names = [
        *RIVAL_FIGURES,
        *[("intake, 64 connections", unit) for unit in ("votes/s", "hello/s")],
        *[("drain none ×500, 1 task", unit) for unit, *_ in plot.DRAIN_SERIES],
        *[(name, unit) for name in ("cost none ×500", *plot.OTHER_DESIGNS) for unit, *_ in plot.COST_PARTS],
        ("growth, 10,000 votes, 1 poll, 4 choices", "$/M ÷ first"),
        ("growth over HTTP, 10 polls, 4 choices", "$/M ÷ first"),
    ]
    table.write(measured(*names), tmp_path / "figures.json")
    read = msgspec.json.decode((tmp_path / "figures.json").read_bytes(), type=table.Report)
    written = plot.draw_all(read, tmp_path / "images")
    assert {path.name for path in written} == {f"bench-{name}.svg" for name in plot.PICTURES}
    assert all(b"<svg" in path.read_bytes() for path in written)
