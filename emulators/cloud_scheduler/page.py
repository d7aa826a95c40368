"""The page."""

from aiohttp import web

from emulators.cloud_scheduler.service import CloudScheduler


def pages(scheduler: CloudScheduler) -> list[web.RouteDef]:
    """The page's routes."""
    return []
