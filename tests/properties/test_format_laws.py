"""The laws of the repository format (docs/format.md), each over random tables of any schema."""

from __future__ import annotations

import itertools
import random
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prontosync.disk.objects import FolderObjectStore, MemoryObjectStore
from prontosync.engine.connection import Engine
from prontosync.errors import Damaged, RepositoryError, Unfit
from prontosync.history.disputes import UNKNOWN, Disputes
from prontosync.history.merge_table import TableSide, Terms, merge_table
from prontosync.model.changes import CHANGE, DELETE, UPSERT
from prontosync.model.ids import ObjectName, object_id
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import Column, TableSchema
from prontosync.tables import parquet
from prontosync.tables.compare import Delta, changes_between
from prontosync.tables.digest import TableDigester, run_digest, table_digest
from prontosync.tables.layout import read_checkpoint
from prontosync.tables.patch import read_patch
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes, store_rows
from tests.fixtures.rows import (
    DDL,
    TINY,
    Keeper,
    as_python,
    as_table,
    edited,
    identity,
    one_batch,
    patch_between,
    patched,
    pieces,
    random_patch,
    random_rows,
    same_values,
    shuffled,
    tables,
)

seeds = st.integers(0, 2**32)
FEW = settings(max_examples=25)
ORACLE = Engine()


@pytest.fixture(scope="module")
def keeper() -> Keeper:
    return Keeper()


def with_patches(keeper: Keeper, table: StoredTable, patches: list[pa.Table]) -> StoredTable:
    """The state of a table with hand-built patches laid over it."""
    found = [keeper.store.add(parquet.encode(patch, "patch"), "parquet").id for patch in patches]
    old = table.state
    rows = patched(table.schema, table.rows(), patches).num_rows
    state = TableState(old.schema, old.ddl, rows, None, old.checkpoint, (*old.patches, *found), Changes(0, 0, 0))
    return keeper.at(state)


class TestDigest:
    """Law 1: the same rows and schema have the same digest, by whatever route."""

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_batches_and_order_do_not_matter(
        self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int
    ) -> None:
        schema, rows = drawn
        digests = {
            keeper.keep(schema, rows, seed=seed).state.digest,
            keeper.keep(schema, rows, seed=seed + 1, limits=TINY).state.digest,
            keeper.keep(schema, shuffled(rows, seed), ordered=False, seed=seed).state.digest,
            TableDigesterOf(schema, rows),
        }
        assert len(digests) == 1

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_columns_may_stand_in_any_order(
        self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int
    ) -> None:
        schema, rows = drawn
        columns = list(schema.columns)
        random.Random(seed).shuffle(columns)
        other = TableSchema(tuple(columns), schema.key)
        assert keeper.keep(other, rows.select(other.names)).state.digest == keeper.keep(schema, rows).state.digest

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_history_does_not_matter(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        before = keeper.keep(schema, edited(schema, rows, seed), limits=TINY)
        for step in range(2):
            middle = edited(schema, rows, seed + step)
            before = keeper.keep(schema, shuffled(middle, seed), before, ordered=False, seed=seed, limits=TINY)
        assert keeper.keep(schema, rows, before, limits=TINY).state.digest == keeper.keep(schema, rows).state.digest
        changed = store_changes(before, patch_between(schema, before.rows(), rows), limits=TINY)
        assert keeper.at(changed).digest() == keeper.keep(schema, rows).state.digest

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_patches_do_not_matter(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        base = keeper.keep(schema, edited(schema, rows, seed), limits=TINY)
        state = with_patches(keeper, base, [patch_between(schema, base.rows(), rows)])
        assert state.digest() == keeper.keep(schema, rows).state.digest

    @FEW
    @given(drawn=tables())
    def test_a_column_without_values_leaves_run_digests_alone(self, drawn: tuple[TableSchema, pa.Table]) -> None:
        schema, rows = drawn
        wider = TableSchema((*schema.columns, Column("added", "decimal(9,2)")), schema.key)
        more = rows.append_column("added", pa.nulls(rows.num_rows, pa.decimal128(9, 2)))
        assert run_digest(more, wider) == run_digest(rows, schema)

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_only_the_same_rows_have_the_same_digest(self, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        other = edited(schema, rows, seed)
        same = oracle(schema, rows, other) == {}
        assert (run_digest(rows, schema) == run_digest(other, schema)) is same

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_a_slice_hashes_like_a_copy(self, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        rng = random.Random(seed)
        start, count = rng.randrange(rows.num_rows + 1), rng.randrange(rows.num_rows + 1)
        part = one_batch(rows).slice(start, count)
        copy = as_table(schema, as_python(pa.Table.from_batches([part])))
        assert run_digest(part, schema) == run_digest(copy, schema)


def TableDigesterOf(schema: TableSchema, rows: pa.Table) -> str:  # noqa: N802
    digester = TableDigester(schema)
    for batch in pieces(rows, 1, largest=1):
        digester.update(batch)
    return digester.digest()


class TestChains:
    """Laws 1, 2 and 4 along histories: full reads, changes laid over, gathered and folded, in any order."""

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_every_state_of_a_chain(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        rng = random.Random(seed)
        chain = [(keeper.keep(schema, rows, limits=TINY), rows)]
        for _ in range(10):
            before, rows = chain[-1] if rng.random() < 0.8 else rng.choice(chain)
            rows = edited(schema, rows, rng.randrange(1 << 30), share=rng.choice((0.02, 0.1, 0.5)))
            chain.append((self._next(keeper, schema, before, rows, rng), rows))
        for _ in range(3):
            merged = self._merged(chain, rng)
            chain += [(merged, merged.rows())] if merged else []
        for table, rows in chain:
            assert oracle(schema, table.rows(), rows) == {}
            assert table.digest() == TableDigesterOf(schema, rows)
            assert table.state.rows == rows.num_rows
        for _ in range(6):
            (old, old_rows), (new, new_rows) = rng.choice(chain), rng.choice(chain)
            assert kinds(changes_between(old, new)) == oracle(schema, old_rows, new_rows)

    def _merged(self, chain: list[tuple[StoredTable, pa.Table]], rng: random.Random) -> StoredTable | None:
        """A merge of any two states over any third."""
        base, ours, theirs = (TableSide(rng.choice(chain)[0], Disputes(chain[0][0].schema), UNKNOWN) for _ in range(3))
        found = merge_table(ORACLE, base, ours, theirs, Terms(prefer="theirs"))
        return StoredTable(base.table.store, base.table.engine, "t", found.state) if found else None

    def _next(
        self, keeper: Keeper, schema: TableSchema, before: StoredTable, rows: pa.Table, rng: random.Random
    ) -> StoredTable:
        found = list(oracle(schema, before.rows(), rows).values())
        wanted = Changes(found.count("insert"), found.count("update"), found.count("delete"))
        if rng.random() < 0.5:
            after = keeper.keep(schema, rows, before, seed=rng.randrange(99), limits=TINY)
        else:
            patch = patch_between(schema, before.rows(), rows)
            after = keeper.at(store_changes(before, patch, limits=TINY))
        assert after.state.changes == wanted
        return after


class TestReading:
    """Law 2: reading gives back exactly the rows that went in."""

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_whole(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        for ordered, limits in itertools.product((True, False), (TINY,)):
            given_rows = rows if ordered else shuffled(rows, seed)
            table = keeper.keep(schema, given_rows, ordered=ordered, limits=limits, seed=seed)
            assert same_values(table.rows(), rows)
            assert same_values(pa.Table.from_batches(table.batches(), schema=rows.schema), rows)
            assert table.state.rows == rows.num_rows

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_with_patches(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        patches = [random_patch(schema, edited(schema, rows, seed + n), seed + n) for n in range(seed % 3 + 1)]
        table = with_patches(keeper, keeper.keep(schema, rows, limits=TINY), patches)
        wanted = patched(schema, rows, patches)
        assert same_values(table.rows(), wanted)
        assert same_values(pa.Table.from_batches(table.batches(), schema=rows.schema), wanted)

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_some_rows(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        patches = [random_patch(schema, edited(schema, rows, seed + n), seed + n) for n in range(seed % 3)]
        table = with_patches(keeper, keeper.keep(schema, rows, limits=TINY), patches)
        asked = edited(schema, rows, seed + 7)
        wanted = {identity(schema, row) for row in as_python(asked)}
        everything = patched(schema, rows, patches)
        expected = as_table(schema, [r for r in as_python(everything) if identity(schema, r) in wanted])
        assert same_values(table.rows_at(asked.select(schema.key)), expected)


def oracle(schema: TableSchema, old: pa.Table, new: pa.Table) -> dict[object, str]:
    """The kind of each changed key, by a DuckDB query of its own: EXCEPT on the rows, then which side a key is on."""
    changed = ORACLE.table("FROM _o EXCEPT FROM _n", _o=old, _n=new)
    arrived = ORACLE.table("FROM _n EXCEPT FROM _o", _o=old, _n=new)
    gone = {identity(schema, row) for row in as_python(changed)}
    came = {identity(schema, row) for row in as_python(arrived)}
    kinds = dict.fromkeys(gone - came, "delete") | dict.fromkeys(came - gone, "insert")
    return kinds | dict.fromkeys(gone & came, "update")


def kinds(delta: Delta) -> dict[object, str]:
    keys = [identity_of_key(row) for row in as_python(delta.keys())]
    return dict(zip(keys, delta.table.column(CHANGE).to_pylist(), strict=True))


def identity_of_key(key: tuple[object, ...]) -> object:
    schema = TableSchema(tuple(Column(str(i), "any") for i in range(len(key))), tuple(str(i) for i in range(len(key))))
    return identity(schema, key)


class TestChanges:
    """Law 4: differences are what a full join says, and lead from one state to the other."""

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_against_an_independent_diff(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        target = edited(schema, rows, seed)
        old = keeper.keep(schema, rows, limits=TINY)
        expected = oracle(schema, rows, target)
        for new in (
            keeper.keep(schema, target, old, limits=TINY),
            keeper.keep(schema, target),
            with_patches(keeper, old, [patch_between(schema, rows, target)]),
        ):
            delta = changes_between(old, new)
            assert kinds(delta) == expected
            back = changes_between(new, old)
            assert kinds(back).keys() == expected.keys()
        if schema.values:
            assert delta.old().num_rows == len(expected)

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_between_patched_states(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        base = keeper.keep(schema, rows, limits=TINY)
        other = keeper.keep(schema, edited(schema, rows, seed), base, limits=TINY)
        left = with_patches(keeper, base, [random_patch(schema, rows, seed + n) for n in range(2)])
        right = with_patches(keeper, other, [random_patch(schema, edited(schema, rows, seed), seed + 5)])
        for a, b in itertools.combinations((right, base, left), 2):
            assert kinds(changes_between(a, b)) == oracle(schema, a.rows(), b.rows())

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_a_table_does_not_differ_from_itself(
        self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int
    ) -> None:
        schema, rows = drawn
        once, again = keeper.keep(schema, rows), keeper.keep(schema, rows, seed=seed, limits=TINY)
        undecided = keeper.at(TableState(*(getattr(again.state, f) if f != "digest" else None for f in FIELDS)))
        for other in (once, again, undecided):
            assert changes_between(once, other).table.num_rows == 0

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_changes_laid_over_the_old_give_the_new(
        self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int
    ) -> None:
        schema, rows = drawn
        target = edited(schema, rows, seed)
        old, new = keeper.keep(schema, rows, limits=TINY), keeper.keep(schema, target, limits=TINY)
        delta = changes_between(old, new)
        state = store_changes(old, as_patch(delta), limits=TINY)
        assert keeper.at(state).digest() == new.state.digest
        assert state.rows == target.num_rows
        assert state.changes == delta.counts

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_changes_laid_over_patches(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        parent = with_patches(keeper, keeper.keep(schema, rows, limits=TINY), [random_patch(schema, rows, seed)])
        patch = random_patch(schema, edited(schema, rows, seed + 1), seed + 1)
        table = keeper.at(store_changes(parent, patch, limits=TINY))
        wanted = patched(schema, parent.rows(), [patch])
        assert same_values(table.rows(), wanted)
        assert table.state.rows == wanted.num_rows

    @FEW
    @given(drawn=tables(), seed=seeds)
    def test_counts_while_writing(self, keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        target = edited(schema, rows, seed)
        plain = keeper.keep(schema, rows, limits=TINY)
        for old in (plain, with_patches(keeper, plain, [random_patch(schema, rows, seed)])):
            found = list(oracle(schema, old.rows(), target).values())
            wanted = Changes(found.count("insert"), found.count("update"), found.count("delete"))
            assert keeper.keep(schema, target, old, seed=seed, limits=TINY).state.changes == wanted


FIELDS = ("schema", "ddl", "rows", "digest", "checkpoint", "patches", "changes")


def as_patch(delta: Delta) -> pa.Table:
    """A delta as the patch that makes it."""
    new, old = delta.new(), delta.old()
    gone = pa.compute.equal(delta.table.column(CHANGE), DELETE)
    columns = [pa.compute.if_else(gone, old.column(n), new.column(n)) for n in delta.schema.names]
    change = pa.compute.if_else(gone, DELETE, UPSERT)
    return pa.table([*columns, change], names=[*delta.schema.names, CHANGE])


class TestDamage:
    """Laws 5 and 6: what is not exactly what was written is refused, as our own error."""

    @settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(drawn=tables(max_rows=20), seed=seeds)
    def test_a_flipped_bit_is_never_read(self, tmp_path: Path, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        with TemporaryDirectory(dir=tmp_path) as top:
            keeper = Keeper(FolderObjectStore(Path(top)))
            table = with_patches(keeper, keeper.keep(schema, rows, limits=TINY), [random_patch(schema, rows, seed)])
            assert table.ddl == DDL
            for name in keeper.store.names():
                path = Path(top) / name.path
                good = path.read_bytes()
                rewrite(path, flipped(good, random.Random(seed)))
                damaged = StoredTable(FolderObjectStore(Path(top)), keeper.engine, "t", table.state)
                with pytest.raises(Damaged, match=name.id):
                    read_all(damaged)
                rewrite(path, good)
            assert read_all(table).num_rows == table.state.rows

    @settings(max_examples=25)
    @given(drawn=tables(max_rows=20), seed=seeds)
    def test_bytes_that_were_changed(self, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
        schema, rows = drawn
        keeper = Keeper()
        table = with_patches(keeper, keeper.keep(schema, rows, limits=TINY), [random_patch(schema, rows, seed)])
        rng = random.Random(seed)
        for name in list(keeper.store.names()):
            raw = mutated(keeper.store.read(name), rng)
            forged = store_with(keeper, ObjectName(object_id(raw), name.suffix), raw)
            with ours_or_nothing():
                parquet.decode(raw, table.arrow)
            with ours_or_nothing():
                read_checkpoint(forged, schema, object_id(raw), table.state.rows)
            with ours_or_nothing():
                read_patch(forged, schema, object_id(raw))

    @settings(max_examples=100)
    @given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"PAR1"]), suffix=st.sampled_from([b"", b"PAR1"]))
    def test_arbitrary_bytes(self, data: bytes, prefix: bytes, suffix: bytes) -> None:
        schema = TableSchema((Column("id", "int64"),), ("id",))
        raw = prefix + data + suffix
        store = MemoryObjectStore()
        name = store.add(raw, "parquet")
        with pytest.raises(Damaged):
            parquet.decode(raw, pa.schema([("id", pa.int64())]))
        with pytest.raises(Damaged):
            read_checkpoint(store, schema, name.id)
        with pytest.raises(Damaged):
            read_patch(store, schema, name.id)


def read_all(table: StoredTable) -> pa.Table:
    """Everything that a state's objects say, the definition of the table first."""
    assert table.ddl
    return table.rows()


def flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def ours_or_nothing() -> AbstractContextManager[None]:
    return suppress(Damaged, RepositoryError, Unfit)


def mutated(raw: bytes, rng: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(rng.randrange(1, 4)):
        dice = rng.random()
        at = rng.randrange(len(data)) if dice < 0.5 else max(0, len(data) - 1 - rng.randrange(min(len(data), 700)))
        if dice < 0.8:
            data[at] ^= 1 << rng.randrange(8)
        elif dice < 0.9:
            del data[at : at + rng.randrange(1, 9)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        if not data:
            return b""
    return bytes(data)


def store_with(keeper: Keeper, name: ObjectName, raw: bytes) -> MemoryObjectStore:
    store = MemoryObjectStore()
    for other in keeper.store.names():
        store.add(keeper.store.read(other), other.suffix)
    assert store.add(raw, name.suffix) == name
    return store


def test_a_block_is_a_block_wherever_batches_end(keeper: Keeper) -> None:
    schema = TableSchema((Column("id", "int64"), Column("v", "text")), ("id",))
    count = 16_384 * 2 + 5
    rows = pa.table({"id": pa.array(range(count)), "v": [str(n % 97) for n in range(count)]})
    blocks = [run_digest(rows.slice(start, 16_384), schema) for start in range(0, count, 16_384)]
    wanted = table_digest(schema, blocks)
    for size in (1_000, 16_384, 20_000, count):
        state = store_rows(keeper.store, keeper.engine, "t", schema, DDL, rows.to_batches(size), ordered=True).state
        assert state.digest == wanted


def test_rows_of_a_known_schema_always_hash_alike() -> None:
    schema = TableSchema((Column("id", "int64"), Column("v", "float64")), ("id",))
    rows = random_rows(schema, 50, seed=4)
    assert run_digest(rows, schema) == run_digest(random_rows(schema, 50, seed=4), schema)
