"""docs/tasks-settings.md says what the code says: every variable of tasks with its default and its bounds."""

from pathlib import Path

from pydantic import SecretStr

from tests.pure.test_settings_page import ROW, shown_bound, shown_default
from turnout.base.environment import variables
from turnout.gcp.settings import CloudSettings
from turnout.gcp.tasks.settings import Settings
from turnout.queue.settings import QueueSettings

PAGE = Path(__file__).parents[3] / "docs" / "tasks-settings.md"
#: These say more than the queue's own: their defaults are the tasks'.
OTHERWISE = {"lanes", "lease_messages_max"}


def shown(default: object) -> str:
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    return "none" if plain == "" else shown_default(plain)


def test_the_page_has_every_setting_with_its_default_and_its_bounds() -> None:
    text = PAGE.read_text(encoding="utf-8")
    said = {name: (default.strip(), bounds.strip()) for name, default, bounds in ROW.findall(text)}
    elsewhere = {*QueueSettings.model_fields, *CloudSettings.model_fields} - OTHERWISE
    names = variables(Settings)
    assert said == {
        names[field]: (shown(info.default), ", ".join(map(shown_bound, info.metadata)))
        for field, info in Settings.model_fields.items()
        if field not in elsewhere and names[field].startswith("TURNOUT_")
    }
