"""All checks, one after the other: one that cannot be made says so, and the next is made."""

from collections.abc import AsyncIterator, Callable, Mapping

from cli.doctor import capacity, grants, keeping, watching
from cli.doctor.copy import Copy
from cli.doctor.finding import Finding, State, fault, good
from cli.doctor.google import Google, Refusal

#: Tokens and signed requests of a clock that is further off are refused.
CLOCK_SECONDS_MAX = 30.0
WHY_CHARACTERS_MAX = 200

Check = Callable[[Google, Copy], AsyncIterator[Finding]]
CHECKS: dict[str, Check] = {
    "APIs": watching.examine_apis,
    "grants": grants.examine,
    "schedules": watching.examine_schedules,
    "alerts": watching.examine_alerts,
    "region quota": capacity.examine,
    "backups": keeping.examine,
}


async def examine(environment: Mapping[str, str]) -> list[Finding]:
    """Everything that was found about the copy that an environment names."""
    copy = Copy.from_environment(environment)
    async with Google(environment, copy.project) as google:
        found = []
        for name, check in CHECKS.items():
            found += await _made(name, check, google, copy)
        return [*found, _clock(google.clock_ahead_seconds)]


async def _made(name: str, check: Check, google: Google, copy: Copy) -> list[Finding]:
    found: list[Finding] = []
    try:
        async for each in check(google, copy):
            found.append(each)  # noqa: PERF401  # what was found before a refusal stays
    except Refusal as refusal:
        found.append(_of_refusal(name, refusal, copy))
    return found


def _of_refusal(name: str, refusal: Refusal, copy: Copy) -> Finding:
    if refusal.is_missing:
        return fault(name, f"Something is not there: {_short(refusal)}", "Run `terraform apply`.")
    if refusal.is_disabled:
        api = f"{refusal.api}.googleapis.com"
        return fault(name, f"{api} is not enabled.", f"gcloud services enable {api} --project={copy.project}")
    return Finding(
        check=name,
        state=State.UNKNOWN,
        says=f"It could not be looked at: {refusal.api} answered {refusal.status}: {_short(refusal)}",
        mend="You need roles/viewer and roles/iam.securityReviewer in the project.",
    )


def _clock(ahead_seconds: float | None) -> Finding:
    if ahead_seconds is None:
        return Finding(check="clock", state=State.UNKNOWN, says="No answer told the time.", mend="Try again.")
    if abs(ahead_seconds) > CLOCK_SECONDS_MAX:
        side = "ahead of" if ahead_seconds > 0 else "behind"
        return fault(
            "clock",
            f"This machine is {abs(ahead_seconds):.0f} s {side} Google: its tokens are refused, and its moments are wrong.",
            "Have the clock set by NTP (timedatectl set-ntp true).",
        )
    return good("clock", "This machine's clock is right.")


def _short(refusal: Refusal) -> str:
    return " ".join(str(refusal).split())[:WHY_CHARACTERS_MAX]
