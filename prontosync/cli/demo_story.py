"""The story of the demo: two stores and head office, a day without a link, and the evening after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from prontosync.cli import demo_data as data
from prontosync.cli.demo_server import Server
from prontosync.cli.demo_stage import Stage
from prontosync.disk import files
from prontosync.sources import sample

OFFICE, STORES = "office", ("012", "007")
DATABASE = "pos.db"
_PAST = (
    "SELECT p.product_id, s.name, p.size, p.price, k.on_hand FROM product p JOIN style s USING (style_id)"
    " JOIN stock k USING (product_id) ORDER BY 1"
)


@dataclass(frozen=True)
class Place:
    """``folder`` is its repository, ``hub`` the folder below ``hubs`` that its branch is published in."""

    name: str
    folder: str
    hub: str
    branch: str


PLACES: Mapping[str, Place] = {
    OFFICE: Place(OFFICE, "office", "office", "main"),
    **{name: Place(name, f"store-{name}", name, f"stores/{name}") for name in STORES},
}


class Story:
    """Played once, chapter by chapter; each leaves the folder as the next needs it."""

    def __init__(self, stage: Stage, server: Server | None) -> None:
        self.stage, self.server = stage, server

    def play(self) -> None:
        """Raises DemoFailed where something is not as it must be."""
        self._databases()
        self._repositories()
        self._first_exchange()
        self._day_without_a_link()
        self._evening()
        self._conflict()
        self._outcome()
        self._past()

    def _databases(self) -> None:
        self.stage.heading("Three databases: head office's catalogue, and the tills of stores 012 and 007")
        for place in PLACES.values():
            path = self._database(place.name)
            path.parent.mkdir()
            sample.make_database(path, data.CATALOGUE + ("" if place.name == OFFICE else data.TILL))
            self.stage.say(f"{place.folder}/{DATABASE}")

    def _repositories(self) -> None:
        self.stage.heading("A hub for each place, and a repository beside each database")
        for place in PLACES.values():
            self.stage.run("init", "--bare", self._url(place, "hubs/"), *self._options())
        for place in PLACES.values():
            branch = ("--branch", place.branch) if place.name == OFFICE else ()
            self._run(place, "init", "--source", DATABASE, "--store", place.name, *branch)
            self._add_remotes(place)
        for store in STORES:
            self._run(PLACES[store], "config", "set", "store.upstream", "office/main")
        self.stage.say(f"\nThese lines go into each prontosync.toml:\n{data.FLOWS.rstrip()}")
        for place in PLACES.values():
            path = self.stage.folder / place.folder / "prontosync.toml"
            files.replace(path, path.read_bytes() + data.FLOWS.encode())

    def _add_remotes(self, place: Place) -> None:
        self._run(place, "remote", "add", "hub", self._url(place, "../hubs/"), *self._options())
        others = [PLACES[store] for store in STORES] if place.name == OFFICE else [PLACES[OFFICE]]
        for other in others:
            name = OFFICE if other.name == OFFICE else f"s{other.name}"
            self._run(place, "remote", "add", name, self._url(other, "../hubs/"), "--no-push", *self._options())

    def _first_exchange(self) -> None:
        self.stage.heading("The first exchange: each store reports, head office merges, the stores take what is new")
        self._everybody()
        self._run(PLACES["012"], "tag", "morning")

    def _day_without_a_link(self) -> None:
        self.stage.heading("A day without a link: both stores sell, the last pair of 101 too")
        for sale in data.SALES:
            sample.work(self._database(sale.store), sale.statements())
            self.stage.say(f"store {sale.store}, {sale.told()}")
        for store, phone in data.PHONES.items():
            values = (phone, data.CUSTOMER)
            sample.work(self._database(store), [("UPDATE customer SET phone = ? WHERE customer_id = ?", values)])
            self.stage.say(f"store {store}: customer {data.CUSTOMER} gives the phone number {phone}")
        product, price = data.NEW_PRICE
        change = ("UPDATE product SET price = ? WHERE product_id = ?", (float(price), product))
        sample.work(self._database(OFFICE), [change])
        self.stage.say(f"head office: {product} costs {price} from now on")
        self._run(PLACES["012"], "status")
        self._run(PLACES["012"], "diff", "--table", "stock", "--table", "customer")

    def _evening(self) -> None:
        self.stage.heading("The evening: the link is back, every place syncs")
        self._everybody()

    def _everybody(self) -> None:
        """Each store, head office (which merges its stores), and the stores again."""
        for name in STORES:
            self._run(PLACES[name], "sync")
        office = PLACES[OFFICE]
        self._run(office, "sync")
        for name in STORES:
            self._run(office, "merge", f"s{name}/{PLACES[name].branch}", expect=(0, 1))
        self._run(office, "push")
        for name in STORES:
            self._run(PLACES[name], "sync")

    def _conflict(self) -> None:
        stage = self.stage
        stage.heading("One thing nobody can decide by rule: which phone number is right")
        self._run(PLACES["007"], "conflicts")
        found = self._answer("007", "conflicts")
        places = [(one["table"], one["column"]) for one in found]
        stage.check("one conflict, in the phone number", places, [("customer", "phone")])
        stage.say("\nThe technician of store 007 calls the customer, and decides:")
        stage.author = "Lucía, technician"
        self._run(PLACES["007"], "resolve", "customer", data.CUSTOMER, "--column", "phone", "--take", "stores/012")
        stage.author = "demo"
        self._everybody()

    def _outcome(self) -> None:
        self.stage.heading("What the databases hold now")
        for place in PLACES.values():
            self._show(place, "SELECT product_id, price, on_hand FROM product JOIN stock USING (product_id)")
        self._show(PLACES["012"], "SELECT * FROM ticket")
        self._show(PLACES["007"], "SELECT * FROM ticket")
        self._show(PLACES[OFFICE], "SELECT customer_id, name, phone FROM customer")
        self.stage.say("\n101 stands at -1: the last pair was sold twice. Both sales are kept, and somebody must look.")
        for place in PLACES.values():
            self._check_place(place)

    def _check_place(self, place: Place) -> None:
        check, name = self.stage.check, place.folder
        stock = dict(data.STOCK)
        for sale in data.SALES:
            for product, quantity in sale.pairs:
                stock[product] -= quantity
        there = self._pairs(place, "SELECT product_id, on_hand FROM stock")
        check(f"{name}: stock is what was there less all sales", there, stock)
        prices = {**data.PRICES, data.NEW_PRICE[0]: data.NEW_PRICE[1]}
        found = {p: _pesos(price) for p, price in self._pairs(place, "SELECT product_id, price FROM product").items()}
        check(f"{name}: the prices are head office's", found, prices)
        phone = self._pairs(place, "SELECT customer_id, phone FROM customer")[data.CUSTOMER]
        check(f"{name}: the phone number is the one decided for", phone, data.PHONES["012"])
        if place.name != OFFICE:
            totals = {s.ticket: s.total for s in data.SALES if s.store == place.name}
            found = {t: _pesos(total) for t, total in self._pairs(place, "SELECT ticket_id, total FROM ticket").items()}
            check(f"{name}: its own tickets, and no others", found, totals)
        check(f"{name}: no open conflict", self._answer(place.name, "conflicts"), [])

    def _past(self) -> None:
        self.stage.heading("The past is a query away")
        store = PLACES["012"]
        self._run(store, "sql", "--at", "morning", _PAST)
        was = self._answer("012", "sql", "--at", "morning", "SELECT on_hand FROM stock WHERE product_id = 101")
        self.stage.check("this morning there was one pair of 101", _numbers(was), [1])
        self._run(store, "log", "-n", "3")
        self.stage.heading("And nothing of it can be changed unnoticed")
        for place in PLACES.values():
            self._run(place, "verify")
        damaged = [self._answer(name, "verify")["damaged"] for name in PLACES]
        self.stage.check("verify finds no damage anywhere", damaged, [[]] * len(PLACES))

    def _run(self, place: Place, *words: str, expect: tuple[int, ...] = (0,)) -> None:
        self.stage.run("-C", place.folder, *words, expect=expect)

    def _answer(self, name: str, *words: str) -> Any:
        return self.stage.answer("-C", PLACES[name].folder, *words)

    def _show(self, place: Place, query: str) -> None:
        self.stage.show(f"{place.folder}/{DATABASE}: {query}", *sample.ask(self._database(place.name), query))

    def _pairs(self, place: Place, query: str) -> dict[Any, Any]:
        return dict(sample.ask(self._database(place.name), query)[1])

    def _database(self, name: str) -> Path:
        return self.stage.folder / PLACES[name].folder / DATABASE

    def _url(self, place: Place, base: str) -> str:
        return self.server.url(place.hub) if self.server else base + place.hub

    def _options(self) -> tuple[str, ...]:
        return self.server.options if self.server else ()


def _pesos(value: float) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.01"))


def _numbers(rows: list[dict[str, Any]]) -> list[Any]:
    return [value for row in rows for value in row.values()]
