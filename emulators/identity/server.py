"""What verifies the tokens, over HTTP: the JWK set, the certificates and the discovery document, at Google's own paths."""

from aiohttp import web

from emulators.identity.tokens import Identity, discovery

JWKS_PATH = "/oauth2/v3/certs"
CERTIFICATES_PATH = "/oauth2/v1/certs"
DISCOVERY_PATH = "/.well-known/openid-configuration"
#: Verifiers may keep the keys for a while, but not for long after the state folder was emptied.
CACHE_SECONDS = 60


def identity_routes(identity: Identity) -> list[web.RouteDef]:
    """Routes that any stand-in's application can add to its own."""
    caching = {"Cache-Control": f"public, max-age={CACHE_SECONDS}"}

    async def jwks(_: web.Request) -> web.Response:
        return web.json_response(identity.jwks(), headers=caching)

    async def certificates(_: web.Request) -> web.Response:
        return web.json_response(identity.certificates(), headers=caching)

    async def document(request: web.Request) -> web.Response:
        return web.json_response(discovery(f"{request.scheme}://{request.host}"), headers=caching)

    return [
        web.get(JWKS_PATH, jwks),
        web.get(CERTIFICATES_PATH, certificates),
        web.get(DISCOVERY_PATH, document),
    ]


def identity_application(identity: Identity) -> web.Application:
    """The token stand-in alone."""
    application = web.Application()
    application.add_routes(identity_routes(identity))
    return application
