"""The bank, declared and served."""

from dataclasses import replace
from decimal import Decimal
from importlib.metadata import version

from rich.console import Console

from bank.access import CARDS_CLAIM, WHO_MAY
from bank.analytics import BANKAPP
from bank.balance import BALANCE
from bank.card import CARD, OpenCard
from bank.customer import CUSTOMER
from bank.guard import card_guard
from bank.holder import HOLDERS
from bank.http import REFUSALS as REFUSAL_STATUS
from bank.http import routes
from bank.layers import LAYERS
from bank.layers.ledgers import LEDGERS as LAYER_LEDGERS
from bank.ledgers import LEDGERS
from bank.overview import CUSTOMER_CARDS, CUSTOMER_LIMITS
from bank.payment import PAYMENTS
from bank.refusal import REFUSALS
from bank.service import Bank
from bank.settings import BankSettings
from bank.spending import SPENDING
from bank.statement import STATEMENT, TOPIC
from bank.suspicious import AMOUNT, VELOCITY
from bank.transfer import TRANSFER
from mainstem import Application
from mainstem.assembly import Running, bring_up
from mainstem.assembly.metrics import samples_of
from mainstem.assembly.places import mysql_server, raw_folder
from mainstem.assembly.web import operations_of
from mainstem.layers import LayersDesk
from mainstem.query.access import Access, access_of
from mainstem.query.bindings import binding_routes
from mainstem.query.dead_letters import dead_letter_routes
from mainstem.query.layers import layer_routes
from mainstem.query.metrics import Metrics, observed
from mainstem.query.privacy import privacy_routes
from mainstem.query.processes import process_routes
from mainstem.query.rebuilds import rebuild_routes
from mainstem.query.server import check_address, serve_http
from mainstem.query.web import About, web_application
from mainstem.settings import Settings


def _configured(declared: Application, settings: Settings) -> Application:
    own = declared.own
    if not isinstance(own, BankSettings):
        raise TypeError("the bank is configured by settings of its own")
    guard = card_guard(own.block_after_refusals, own.block_within_ms)
    declared = replace(declared, processes=(TRANSFER, guard))
    if not settings.layers:
        return declared
    return replace(declared.with_layers(LAYERS), ledgers=(*declared.ledgers, *LAYER_LEDGERS))


application = Application(
    name="bank",
    deciders=(CARD, CUSTOMER),
    listeners=(
        STATEMENT,
        BALANCE,
        REFUSALS,
        HOLDERS,
        SPENDING,
        VELOCITY,
        AMOUNT,
        CUSTOMER_CARDS,
        CUSTOMER_LIMITS,
        PAYMENTS,
    ),
    datasources=(BANKAPP,),
    topics=(TOPIC,),
    ledgers=LEDGERS,
    processes=(TRANSFER, card_guard(0, 1)),
    configure=_configured,
    own=BankSettings(),
    version=version("mainstem"),
)

FIRST_CARD = OpenCard(card="123456789", limit=Decimal(10_000))
"""The card that the bank starts with."""

_WELCOME = """
The bank listens on [bold]{url}[/] (OpenAPI: {url}/openapi). Try, in another terminal:

  curl -X POST {url}/moneywithdrawals -H 'Content-Type: application/json' \\
       -d '{{"debitCard":"123456789","amount":10.00}}'
  curl '{url}/moneywithdrawals?debitCardId=123456789'
  curl '{url}/analytics/cards?debitCardId=123456789'
  mainstem status; mainstem reconcile       (in .venv/bin)
  mainstem dashboard --api {url}            (pages in a browser)

Ctrl-C stops it; everything stays in {place}.
"""


def welcome(url: str, settings: Settings) -> str:
    """What to try, and where everything stays; with rich's marks."""
    place = f"the folder {settings.data_dir}"
    if settings.form == "distributed":
        place = f"{mysql_server(settings)}, database {settings.mysql_database}"
    return _WELCOME.format(url=url, place=place)


def serve(declared: Application, settings: Settings) -> None:
    """Run the bank until SIGINT or SIGTERM."""
    access = access_of(settings, WHO_MAY, owned_claim=CARDS_CLAIM)
    port = check_address(settings.http_host, settings.http_port, authenticated=access.authenticated)
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    url = f"http://{host}:{port}"
    with bring_up(declared, settings) as running:
        running.commands.execute(FIRST_CARD, key="bank-first-card")

        def listening() -> None:
            running.announce(url)
            Console().print(welcome(url, settings), highlight=False, soft_wrap=True)

        serve_http(web(running, access), settings.http_host, port, listening=listening)


def web(running: Running, access: Access) -> "object":
    """The bank's HTTP application, as ASGI."""
    bank = Bank(running)
    metrics = Metrics(lambda: samples_of(running))
    app = web_application(
        about=About(
            "Bank",
            running.application.version,
            "Withdrawals as commands, statements as views, analytics within a second of the fact.",
        ),
        routes=[
            *routes(bank),
            *process_routes(running.processes),
            *rebuild_routes(running.rebuilds),
            *layer_routes(LayersDesk(running.application.layers, running.views, raw_folder(running.settings))),
            *binding_routes(running.bindings),
            *dead_letter_routes(running.bindings),
            *privacy_routes(running.forgetter),
        ],
        access=access,
        operations=operations_of(running, metrics),
        refusals=REFUSAL_STATUS,
        body_max_bytes=running.settings.http_body_max_bytes,
        on_shutdown=(bank.end,),
    )
    return observed(app, metrics)
