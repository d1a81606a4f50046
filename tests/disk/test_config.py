"""``prontosync.toml``: read strictly, edited with comments and order kept."""

from __future__ import annotations

import tempfile
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prontosync.disk.config import (
    KEYS,
    SECTIONS,
    Config,
    ConfigError,
    RemoteConfig,
    SourceConfig,
    StoreConfig,
    TableConfig,
    located,
)
from prontosync.disk.config_edit import (
    NotSet,
    RemoteExists,
    RemoteUnknown,
    add_remote,
    get_value,
    initial,
    list_values,
    remove_remote,
    set_value,
    set_values,
    unset,
)
from prontosync.disk.config_file import decode, load, section_of
from prontosync.disk.config_rules import check_against_schema
from prontosync.disk.config_values import KINDS, key_path, key_text, raw_of, text_of, toml_of, value_of
from prontosync.model.rules import Invariant, TableRules
from prontosync.model.schema import Column, TableSchema

FULL = """\
# the shop in the high street
[store]
name = "012"
branch = "stores/012"
upstream = "office/main"
timezone = "America/Mexico_City"
keep_free = "2GB"   # the till's disk is small

[source]
url = "sqlite:///var/lib/pos/pos.db"
tables = ["*"]
exclude = ["tmp_*"]
apply = true
max_deletes = "2%"

[remote.hub]
url = "sftp://store012@hub.example.com/hub/012"
identity = "/etc/prontosync/id_ed25519"
known_hosts = "/etc/prontosync/known_hosts"

[remote.office]
url = "sftp://store012@hub.example.com/hub/office"
push = false

[table.inventory]
# stock adds up
key = ["store_id", "product_id"]
flow = "own"
columns.on_hand = "sum"
actor = "updated_by"
skip = ["pin_hash"]
"""
RULES = """\
[default]
flow = "shared"
prefer = "main"
delete = "wins"

[table.customer]
columns.points = "sum"
columns.phone = "prefer stores/012"
columns.seen = "max"
newest = "seen"
owner = "store_id"
delete = "loses"
renumber = "store"
renamed = { tel = "phone", mail = "email" }
dropped = ["telex", "fax"]

[table.ticket]
flow = "own"
append_only = true

[table.old]
gone = true

[invariant.sold]
table = "stock"
sql = "SELECT 1"
refuse = true
"""
SMALL = '[store]\nname = "012"\n\n[source]\nurl = "pos.db"\n'
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prontosync.toml"
    path.write_text(FULL)
    return path


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        decode(text, Path("p.toml"))
    assert caught.value.exit == 10
    return caught.value


def test_a_full_file(file: Path) -> None:
    assert load(file) == Config(
        StoreConfig("012", "stores/012", "office/main", "America/Mexico_City", 2_000_000_000),
        SourceConfig("sqlite:///var/lib/pos/pos.db", ("*",), ("tmp_*",), True, 0.02),
        {
            "hub": RemoteConfig(
                "hub",
                "sftp://store012@hub.example.com/hub/012",
                "/etc/prontosync/id_ed25519",
                "/etc/prontosync/known_hosts",
            ),
            "office": RemoteConfig("office", "sftp://store012@hub.example.com/hub/office", push=False),
        },
        {
            "inventory": TableConfig(
                ("store_id", "product_id"),
                "updated_by",
                ("pin_hash",),
                TableRules(flow="own", columns={"on_hand": "sum"}),
            )
        },
    )


def test_what_is_not_said() -> None:
    config = decode(SMALL, Path("p"))
    assert config.store == StoreConfig("012", "stores/012")
    assert config.source == SourceConfig("pos.db", ("*",), (), True, 0.02)
    assert config.table("anything") == TableConfig((), None, (), TableRules())
    assert decode("", Path("p")) == Config()


@pytest.mark.parametrize("text", ['columns.on_hand = "sum"', 'columns = { on_hand = "sum" }'])
def test_columns_in_each_form(text: str) -> None:
    assert decode(f"[table.a]\n{text}\n", Path("p")).table("a").rules.columns == {"on_hand": "sum"}


def test_columns_in_a_section_of_their_own() -> None:
    assert decode('[table.a.columns]\non_hand = "sum"\n', Path("p")).table("a").rules.columns == {"on_hand": "sum"}


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ('[store]\nname = "a"\nupstraem = "x"\n', 3, 'unknown key "upstraem" in [store]', 'did you mean "upstream"?'),
        ('\n[sotre]\nname = "a"\n', 2, 'unknown section "sotre"', 'did you mean "store"?'),
        (
            '[table.x]\nkey = [\n "a",\n]\n\nflwo = "own"\n',
            6,
            'unknown key "flwo" in [table.x]',
            'did you mean "flow"?',
        ),
        ('[table.x]\nflow = "onw"\n', 2, '"onw" is not a flow', 'did you mean "own"?'),
        ('[table.x]\ncolumns.a = "summ"\n', 2, '"summ" is not a policy', 'did you mean "sum"?'),
        ('[table.x]\ncolumns.a = "prefer"\n', 2, "does not say which branch", "prefer main"),
        ('[table.x]\ncolumns.a = "prefer MAIN"\n', 2, '"MAIN" is not a ref name', "lower-case"),
        ('[table.x]\ncolumns.a = "newest"\n', 2, '"newest" is not a policy', "prefer BRANCH"),
        ('[table.x]\nprefer = "hub/main"\n[remote.hub]\nurl = "x"\n', 2, '"hub" is a remote', '"main"'),
        ('[table.x]\ndelete = "win"\n', 2, '"win" is not a deletion', 'did you mean "wins"?'),
        ('[table.x]\nrenumber = "stores"\n', 2, '"stores" is not a side', 'did you mean "store"?'),
        ('[table.x]\nappend_only = "yes"\n', 2, "must be true or false without quotes", "append_only = true"),
        ('[table.x]\nnewset = "a"\n', 2, 'unknown key "newset" in [table.x]', 'did you mean "newest"?'),
        ('[default]\nowner = "a"\n', 2, 'unknown key "owner" in [default]', "known here: flow, prefer, delete, newest"),
        ('[defualt]\nflow = "own"\n', 1, 'unknown section "defualt"', 'did you mean "default"?'),
        ('[invariant.a]\ntable = "b"\n', 1, '[invariant.a] has no "sql"', "write sql ="),
        ('[invariant.a]\ntable = "b"\nsql = " "\n', 3, "must not be empty", "SELECT"),
        ('[table.x]\nnewest = "t"\ncolumns.t = "sum"\n', 3, 'cannot have the policy "sum"', "max"),
        ('[table.x]\nnewest = "t"\nprefer = "main"\n', 2, "lets one branch alone write", "take one"),
        ('[default]\nnewest = "t"\nprefer = "main"\n', 2, "lets one branch alone write", "take one"),
        ('[table.x]\nappend_only = true\ncolumns.n = "sum"\n', 3, "forbids every update", "take one"),
        ('[table.x]\ndropped = ["n"]\ncolumns.n = "sum"\n', 2, 'column "n" is to be dropped', "take one"),
        ('[table.x]\nrenamed.a = "c"\nrenamed.b = "c"\n', 2, 'two columns are renamed to "c"', "as it is now"),
        ('[table.x]\nrenamed.a = "a"\n', 2, "renamed to itself", "as it is now"),
        ('[table.x]\nrenamed.a = "b"\nrenamed.b = "c"\n', 2, "which is renamed itself", "as it is now"),
        ('[table.x]\nnewest = "t"\nskip = ["t"]\n', 3, 'column "t" of table "x" is skipped', "skip"),
        ("[table.dbo.orders]\n", 1, 'unknown key "orders" in [table.dbo]', 'quoted: table."dbo.orders"'),
        ("title = 1\n", 1, 'unknown section "title"', "did you mean"),
        ("store = 1\n", 1, '"store" must be a section', "write [store]"),
        ('[store]\nname = "a"\n[[remote]]\nurl = "x"\n', 3, '"remote" must be a section', "write [remote]"),
        ("[store]\nname = 12\n", 2, '"store.name" must be text in quotes, not an integer', 'write name = "012"'),
        ('[store]\nbranch = "x"\n', 1, '[store] has no "name"', 'write name = "012"'),
        ("[remote.hub]\npush = false\n", 1, '[remote.hub] has no "url"', "write url ="),
        ('[remote.hub]\nurl = "x"\npush = "no"\n', 3, "must be true or false without quotes, not text", "push = false"),
        ('[table.x]\nkey = "id"\n', 2, '"table.x.key" must be a list, not text', "write key = ["),
        ("[table.x]\nkey = []\n", 2, "must name a column", "key"),
        ('[table.x]\nkey = ["a", "a"]\n', 2, 'must not name column "a" twice', "key"),
        ('[table.x]\nkey = ["a"]\nskip = ["a"]\n', 3, 'column "a" of table "x" is skipped', "skip"),
        ("[table.x]\nactor = 2026-01-01\n", 2, "not a date or time", "actor"),
        ('[store]\nname = "Shop 1"\n', 2, '"Shop 1" is not a store name', "lower-case"),
        ('[store]\nname = "a"\nbranch = "x//y"\n', 3, "is not a ref name", "lower-case"),
        ('[store]\nname = "a"\nbranch = "hub/x"\n[remote.hub]\nurl = "x"\n', 3, '"hub" is a remote', "another"),
        ('[store]\nname = "a"\nupstream = "ofice/main"\n[remote.office]\nurl="x"\n', 3, "no remote", '"office"'),
        (
            '[store]\nname = "a"\nupstream = "office/main"\n',
            3,
            'no remote "office"',
            "prontosync remote add office URL",
        ),
        ('[store]\nname = "a"\nupstream = "office"\n', 3, "is not a branch of a remote", "office/main"),
        ('[store]\nname = "a"\ntimezone = "America/Mexico_Ciyt"\n', 3, "is not a time zone", "America/Mexico_City"),
        ('[store]\nname = "a"\nkeep_free = "2 GBs"\n', 3, '"2 GBs" is not a size', "500MB"),
        ('[store]\nname = "a"\n[source]\nurl = "x"\nmax_deletes = "200%"\n', 5, "is not a percentage", "2%"),
        ('[store]\nname = "a"\n[source]\nurl = "x"\ntables = []\n', 5, "must name a table", "tables"),
        ('[store]\nname = "a"\n[source]\nurl = "~/pos.db"\n', 4, '"~" is not expanded', "write url"),
        ('[source]\nurl = "x"\n', 1, "[source] needs a [store] beside it", "name"),
        ('[remote.ABBA]\nurl = "x"\n', 1, '"ABBA" is not a remote name', "lower-case"),
        ('[remote.stores]\nurl = "x"\n', 1, 'must not be named "stores"', "another name"),
        ('[remote.hub]\nurl = ""\n', 2, "must not be empty", "write url"),
        ('[remote.hub]\nurl = "a\\u0000b"\n', 2, "must not hold control characters", "write url"),
        ('[remote.hub]\nurl = "x"\nfingerprint = "MD5:0"\n', 3, "is not a fingerprint", "ssh-keygen -l"),
        ('[store]\nname = "a\n', 2, "illegal character", "correct"),
        ('[store]\nname = "a"\nname = "b"\n', 3, "cannot overwrite a value", "correct"),
        ('[store]\nname = """a', 2, "at the end", "correct"),
    ],
)
def test_what_is_refused(text: str, line: int, words: str, hint: str) -> None:
    error = refused(text)
    assert error.message.startswith('"p.toml" line ')
    assert words in error.message
    assert error.line == line
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('[invariant.a]\ntable = "b"\nsql = "SELECT"\nrefuse = true\n', "may refuse merges at head office only"),
        ('[table.x]\ndropped = ["n"]\n', '"dropped" of table "x" is for head office to say'),
        ("[table.x]\ngone = true\n", '"gone" of table "x" is for head office to say'),
    ],
)
def test_what_only_head_office_may_say(said: str, words: str) -> None:
    decode(said, Path("p"))
    error = refused(f'[store]\nname = "a"\nupstream = "hub/main"\n[remote.hub]\nurl = "x"\n{said}')
    assert words in error.message
    assert error.line is not None


def test_rules_of_merging() -> None:
    config = decode(RULES, Path("p"))
    customer = TableRules(
        columns={"points": "sum", "phone": "prefer stores/012", "seen": "max"},
        newest="seen",
        owner="store_id",
        delete="loses",
        renumber="store",
        renamed={"tel": "phone", "mail": "email"},
        dropped=("fax", "telex"),
    )
    ticket = TableRules(flow="own", append_only=True)
    assert config.default == TableRules(flow="shared", prefer="main", delete="wins")
    assert config.table("customer").rules == customer
    assert config.invariants == {"sold": Invariant("stock", "SELECT 1", True)}
    said = config.rules
    assert said.tables == {"customer": customer, "ticket": ticket, "old": TableRules(gone=True)}
    assert decode(RULES + '[table.kept]\nactor = "who"\n', Path("p")).rules == said


def test_an_invariant_is_set_at_once(file: Path) -> None:
    with pytest.raises(ConfigError, match='has no "sql"'):
        set_value(file, "invariant.sold.table", "stock")
    set_values(file, {"invariant.sold.table": "stock", "invariant.sold.sql": "SELECT 1\n-- two lines"})
    assert load(file).invariants == {"sold": Invariant("stock", "SELECT 1\n-- two lines")}
    with pytest.raises(ConfigError, match="at head office only"):
        set_value(file, "invariant.sold.refuse", "true")
    unset(file, "store.upstream")
    set_value(file, "invariant.sold.refuse", "true")
    with pytest.raises(ConfigError, match="at head office only"):
        set_value(file, "store.upstream", "office/main")


@pytest.mark.parametrize(
    "url",
    [
        "sftp://shop:hunter2@hub/x",
        "sftp://shop:@hub/x",
        "postgresql://u:hunter2@h/db",
        "postgresql://u:hun/ter2@h/db",
        "postgresql://u@h/db?password=hunter2",
        "shop:hunter2@hub:/x",
    ],
)
def test_a_password_is_refused_and_never_shown(url: str) -> None:
    error = refused(f'[remote.hub]\nurl = "{url}"\n')
    assert "must not hold a password" in error.message
    assert "hunter2" not in error.message + (error.hint or "")


@pytest.mark.parametrize(
    "url",
    [
        "sftp://shop@hub:2222/x@y",
        "/srv/hub",
        "../hub",
        "sqlite:///a:b@c",
        "sftp://[::1]:22/x",
        "postgresql://u@h/db?a=b",
    ],
)
def test_a_url_without_a_password_passes(url: str) -> None:
    assert decode(f'[remote.hub]\nurl = "{url}"\n', Path("p")).remotes["hub"].url == url


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("500MB", 5 * 10**8), ("1 KiB", 1024), ("7b", 7), ("1TiB", 2**40)]
)
def test_sizes(text: str, size: int) -> None:
    config = decode(f'[store]\nname = "a"\nkeep_free = "{text}"\n', Path("p"))
    assert config.store is not None
    assert config.store.keep_free == size


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        load(tmp_path / "prontosync.toml")
    assert caught.value.hint == "prontosync init"


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b'[store]\nname = "\xff"\n')
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        load(file)
    assert caught.value.line == 2


def test_a_byte_order_mark_and_windows_line_ends(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert load(file).store == StoreConfig("012", "stores/012")
    set_value(file, "source.apply", "false")
    assert get_value(file, "source.apply") == "false"


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a" + ".a" * 5000 + " = 1", "[store]\nname = " + "9" * 5000])
def test_monstrous_files(text: str) -> None:
    refused(text)


TOKENS = st.sampled_from(
    [
        "[store]",
        "[table.x]",
        "[remote.hub]",
        "[[a]]",
        "name",
        "url",
        "key",
        "columns.a",
        " = ",
        '"012"',
        '"""',
        "'",
        "[",
        "]",
        "{",
        "}",
        "\n",
        "\r\n",
        "#",
        ".",
        ",",
        "1",
        "true",
        "1979-05-27",
        "1e999",
        "nan",
        "\x00",
        "\ufeff",
        '"sum"',
        '"~"',
    ]
)


@given(st.one_of(st.text(), st.lists(TOKENS).map("".join)))
def test_any_text_loads_or_is_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prontosync.toml")
        path.write_bytes(text.encode(errors="replace"))
        try:
            load(path)
        except ConfigError as error:
            assert error.message.startswith(f'"{path}"')  # noqa: PT017 - either outcome is right


@given(st.binary())
def test_any_bytes_load_or_are_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prontosync.toml")
        path.write_bytes(data)
        try:
            load(path)
        except ConfigError as error:
            assert error.exit == 10  # noqa: PT017 - either outcome is right


def test_the_table_of_keys_is_sound() -> None:
    assert list(dict.fromkeys(".".join(section_of(key.parts)) for key in KEYS)) == list(SECTIONS)
    assert len({key.path for key in KEYS}) == len(KEYS)
    assert {key.type for key in KEYS} == set(KINDS)
    for key in KEYS:
        raw = tomllib.loads(f"value = {key.example}")["value"]
        value_of(key, raw)
        assert raw_of(key, text_of(raw)) == raw
        assert key.meaning[0].islower()
        assert not key.meaning.endswith(".")


@pytest.mark.parametrize(
    ("section", "kind"), [("source", SourceConfig), ("remote.*", RemoteConfig), ("table.*", TableConfig)]
)
def test_the_defaults_are_those_of_the_table(section: str, kind: type) -> None:
    declared = {key.parts[-1]: key for key in KEYS if key.path.rpartition(".")[0] == section}
    for each in fields(kind):
        key = declared.get(each.name)
        if key and key.default is not None:
            assert value_of(key, tomllib.loads(f"value = {key.default}")["value"]) == each.default
        elif key:
            assert each.default in {None, ()} or (key.required and each.default is MISSING)


def test_set_keeps_comments_and_order(file: Path) -> None:
    set_value(file, "store.keep_free", "500MB")
    set_value(file, "table.inventory.flow", "shared")
    expected = FULL.replace("2GB", "500MB").replace('flow = "own"', 'flow = "shared"')
    assert file.read_text() == expected


def test_set_adds_to_a_section_and_adds_sections(file: Path) -> None:
    set_value(file, "table.inventory.columns.reserved", "sum")
    set_value(file, 'table."odd name".key', "id, line")
    set_value(file, 'table."odd name".columns."so far"', "sum")
    expected = FULL.replace('on_hand = "sum"\n', 'on_hand = "sum"\ncolumns.reserved = "sum"\n')
    added = '\n[table."odd name"]\nkey = ["id", "line"]\ncolumns."so far" = "sum"\n'
    assert file.read_text() == expected + added
    assert load(file).table("odd name") == TableConfig(("id", "line"), rules=TableRules(columns={"so far": "sum"}))


def test_set_between_sections_out_of_order(file: Path) -> None:
    first, last = '[table.a]\nflow = "own"\n\n[store]\nname = "1"\n\n', '[table.c.columns]\nx = "sum"\n'
    file.write_text(f'{first}[table.b] # b\nflow = "own"\n\n{last}')
    set_value(file, "table.b.columns.n", "sum")
    set_value(file, "table.d.flow", "down")
    set_value(file, "table.c.columns.y", "sum")
    set_value(file, "table.a.actor", "who")
    unset(file, "table.a.flow")
    assert load(file).tables == {
        "a": TableConfig(actor="who"),
        "b": TableConfig(rules=TableRules(flow="own", columns={"n": "sum"})),
        "c": TableConfig(rules=TableRules(columns={"x": "sum", "y": "sum"})),
        "d": TableConfig(rules=TableRules(flow="down")),
    }
    assert "[table.b] # b\n" in file.read_text()


@pytest.mark.parametrize(
    "text",
    [
        'table = {a = {flow = "own"}}\n',
        'table.a.flow = "own"\n',
        '[table]\na.flow = "own"\n',
        '[table.a.columns]\nb="sum"\n',
    ],
)
@pytest.mark.parametrize("key", ["table.a.actor", "table.b.actor", "table.a.columns.c"])
def test_set_in_unusual_files_is_right_or_refused(file: Path, text: str, key: str) -> None:
    file.write_text(text)
    try:
        set_value(file, key, "sum")
    except ConfigError as error:
        assert "edit it by hand" in (error.hint or "")  # noqa: PT017 - either outcome is right
        assert file.read_text() == text
    else:
        assert get_value(file, key) == "sum"


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("store.nmae", "x", 'unknown key "nmae" in [store]'),
        ("store", "x", '"store" is a section, not a key'),
        ("shop.name", "x", 'unknown section "shop.name"'),
        ("table.dbo.orders.flow", "own", 'unknown key "orders.flow"'),
        ("table.a.columns.b", "maxx", "is not a policy"),
        ("store.upstream", "nowhere/main", 'no remote "nowhere"'),
        ("store.name", "A B", "is not a store name"),
        ("store.name", "", "is not a store name"),
        ("source.apply", "yes", "neither true nor false"),
        ("source.tables", '["a"', "is not a list"),
        ("source.tables", '["a"]\n[store]', "is not a list"),
        ("remote.hub.url", "sftp://a:b@c/d", "password"),
        ("remote.new.push", "false", '[remote.new] has no "url"'),
        ("store.name\n", "x", "is not a key"),
        ('store.name = "x" #', "x", "is not a key"),
        ("table..flow", "own", "is not a key"),
        ("table.niños.flow", "own", "is not a key"),
        ('table."\\x".flow', "own", "is not a quoted name"),
        ("", "x", "is not a key"),
        ("table.\udcff.flow", "own", "is not a key"),
        ("table.a.actor", "\udcff", "not valid UTF-8"),
    ],
)
def test_set_refuses_what_would_not_load(file: Path, key: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        set_value(file, key, text)
    assert words in caught.value.message
    assert caught.value.line is None
    assert file.read_text() == FULL


def test_set_may_mend_a_file_and_names_its_fault_otherwise(file: Path) -> None:
    file.write_text('[store]\nname = "A B"\n')
    with pytest.raises(ConfigError, match="line 2"):
        set_value(file, "table.a.flow", "own")
    set_value(file, "store.name", "ab")
    assert load(file).store == StoreConfig("ab", "stores/ab")


def test_the_mode_and_a_link_stay(file: Path, tmp_path: Path) -> None:
    file.chmod(0o600)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    set_value(link, "source.apply", "false")
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [link, file]


def test_unset(file: Path) -> None:
    unset(file, "store.keep_free")
    unset(file, "table.inventory.columns.on_hand")
    assert get_value(file, "store.keep_free") is None
    assert load(file).table("inventory").rules.columns == {}
    assert "# stock adds up" in file.read_text()
    with pytest.raises(NotSet, match="not set"):
        unset(file, "store.keep_free")
    with pytest.raises(ConfigError, match='has no "name"'):
        unset(file, "store.name")


def test_list(file: Path) -> None:
    listed = list_values(file)
    assert list(listed)[:3] == ["store.name", "store.branch", "store.upstream"]
    assert listed["source.exclude"] == '["tmp_*"]'
    assert listed["source.apply"] == "true"
    assert listed["table.inventory.columns.on_hand"] == "sum"
    assert all(get_value(file, key) == value for key, value in listed.items())


KEY_AND_VALUE = st.one_of(
    st.tuples(NAMES.map(lambda name: ("table", name, "flow")), st.sampled_from(["own", "down", "shared"])),
    st.tuples(NAMES.map(lambda name: ("table", name, "actor")), NAMES),
    st.tuples(
        st.tuples(st.just("table"), NAMES, st.just("columns"), NAMES),
        st.sampled_from(["sum", "max", "min", "none", "prefer main", "prefer stores/012"]),
    ),
    st.tuples(st.tuples(st.just("table"), NAMES, st.just("renamed"), NAMES), NAMES),
    st.tuples(NAMES.map(lambda name: ("table", name, "newest")), NAMES),
    st.tuples(NAMES.map(lambda name: ("table", name, "owner")), NAMES),
    st.tuples(NAMES.map(lambda name: ("table", name, "append_only")), st.sampled_from(["true", "false"])),
    st.tuples(NAMES.map(lambda name: ("table", name, "delete")), st.sampled_from(["wins", "loses"])),
    st.tuples(NAMES.map(lambda name: ("table", name, "renumber")), st.sampled_from(["main", "store"])),
    st.tuples(NAMES.map(lambda name: ("table", name, "gone")), st.sampled_from(["true", "false"])),
    st.tuples(NAMES.map(lambda n: ("table", n, "dropped")), st.lists(NAMES, max_size=3, unique=True).map(toml_of)),
    st.tuples(st.sampled_from([("default", "prefer"), ("table", "x", "prefer")]), st.just("main")),
    st.tuples(st.just(("default", "newest")), NAMES),
    st.tuples(NAMES.map(lambda name: ("table", name, "skip")), st.lists(NAMES, max_size=3, unique=True).map(toml_of)),
    st.tuples(st.just(("source", "exclude")), st.lists(NAMES.filter(bool), max_size=3).map(toml_of)),
    st.tuples(st.just(("source", "apply")), st.sampled_from(["true", "false"])),
    st.tuples(st.just(("store", "keep_free")), st.integers(0, 10**9).map("{}KB".format)),
)


CLASHES = ("is skipped", "is to be dropped", "renamed", "tells which edit", '"newest" lets', "forbids every update")


@given(st.lists(KEY_AND_VALUE, max_size=6))
def test_what_is_set_is_got(edits: list[tuple[tuple[str, ...], str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prontosync.toml")
        path.write_text("# top\n" + SMALL + "# end\n")
        wanted: dict[str, str] = {}
        for parts, text in edits:
            assert key_path(key_text(parts)) == parts
            try:
                set_value(path, key_text(parts), text)
            except ConfigError as error:
                assert any(words in error.message for words in CLASHES)  # noqa: PT017 - what these edits can meet
                continue
            wanted[key_text(parts)] = text
            assert get_value(path, key_text(parts)) == text
        assert list_values(path) == {"store.name": "012", "source.url": "pos.db"} | wanted
        assert path.read_text().startswith("# top\n[store]\n")
        assert "# end\n" in path.read_text()


def test_initial() -> None:
    text = initial(store="012", source_url='/var/l"i\\b/p\u00f6s.db', branch="stores/012")
    assert text == (
        "# what may stand here: prontosync-config(5)\n\n"
        '[store]\nname = "012"\n\n[source]\nurl = "/var/l\\"i\\\\b/pös.db"\n'
    )
    assert decode(text, Path("p")).source == SourceConfig('/var/l"i\\b/pös.db')
    assert decode(initial(store="a", branch="main"), Path("p")).store == StoreConfig("a", "main")
    assert decode(initial(), Path("p")) == Config()
    assert initial().endswith("\n")
    with pytest.raises(ConfigError, match="password"):
        initial(store="a", source_url="postgresql://a:b@c/d")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_initial_escapes_any_path(path: str) -> None:
    try:
        text = initial(store="a", source_url=path)
    except ConfigError:
        return
    assert decode(text, Path("p")).source == SourceConfig(path)
    assert tomllib.loads(text)["source"] == {"url": path}


def test_remotes(file: Path) -> None:
    new = RemoteConfig("shop.two", "../hub two", identity="id", push=False)
    add_remote(file, new)
    assert load(file).remotes["shop.two"] == new
    assert file.read_text() == FULL + '\n[remote."shop.two"]\nurl = "../hub two"\nidentity = "id"\npush = false\n'
    with pytest.raises(RemoteExists, match="exists already"):
        add_remote(file, new)
    remove_remote(file, "shop.two")
    assert file.read_text().rstrip("\n") == FULL.rstrip("\n")
    with pytest.raises(RemoteUnknown, match="no remote"):
        remove_remote(file, "shop.two")
    with pytest.raises(ConfigError, match="in use"):
        remove_remote(file, "office")
    with pytest.raises(ConfigError, match="is not a remote name"):
        add_remote(file, RemoteConfig("A", "x"))
    remove_remote(file, "hub")
    assert list(load(file).remotes) == ["office"]
    assert "# stock adds up" in file.read_text()


def test_a_remote_that_would_take_our_branch_s_name_is_refused(file: Path) -> None:
    file.write_text('[store]\nname = "a"\nbranch = "shop/a"\n')
    with pytest.raises(ConfigError, match='"shop" is a remote'):
        add_remote(file, RemoteConfig("shop", "/hub"))


def test_located() -> None:
    assert located("pos.db", Path("/r")) == "/r/pos.db"
    assert located("/pos.db", Path("/r")) == "/pos.db"
    assert located("sftp://a@b/c", Path("/r")) == "sftp://a@b/c"


KINDS_OF_STOCK = {
    "id": "int64",
    "n": "int64",
    "p": "decimal(9,2)",
    "f": "float64",
    "t": "text",
    "b": "bool",
    "u": "uuid",
    "at": "timestamp",
    "tz": "timestamptz",
    "d": "date",
    "h": "time",
    "j": "json",
    "y": "bytes",
    "a": "any",
}
STOCK = TableSchema(tuple(Column(name, kind) for name, kind in KINDS_OF_STOCK.items()), ("id",))


def schema_fault(said: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_against_schema(decode(f"[table.stock]\n\n{said}\n", Path("p")), {"stock": STOCK})
    assert caught.value.message.startswith('"p" line 3: ')
    return f"{caught.value.message} / {caught.value.hint}"


def fits(said: str) -> bool:
    try:
        check_against_schema(decode(f"[table.stock]\n{said}\n", Path("p")), {"stock": STOCK})
    except ConfigError as error:
        assert "cannot have the" in error.message  # noqa: PT017 - either outcome is right
        return False
    return True


def test_a_policy_must_fit_its_column() -> None:
    fine = decode(
        '[table.stock]\ncolumns = {n = "sum", p = "sum", f = "sum"}\nactor = "t"\n[table.x]\nkey=["q"]\n', Path("p")
    )
    check_against_schema(fine, {"stock": STOCK})
    assert "its type is text" in schema_fault('columns.t = "sum"')
    assert "part of the key" in schema_fault('columns.id = "sum"')
    assert "part of the key" in schema_fault('columns.id = "none"')
    assert 'has no column "tt"' in schema_fault('columns.tt = "sum"')
    assert 'did you mean "t"' in schema_fault('actor = "tt"')
    assert '"key" names' in schema_fault('key = ["idd"]')
    assert '"newest" names' in schema_fault('newest = "updated"')
    assert '"owner" names' in schema_fault('owner = "store"')
    assert "part of the key" in schema_fault('newest = "id"')
    assert "neither renamed nor dropped" in schema_fault('renamed.id = "number"')
    assert "neither renamed nor dropped" in schema_fault('renamed.number = "id"')
    assert "neither renamed nor dropped" in schema_fault('dropped = ["id"]')


@pytest.mark.parametrize(
    ("said", "columns"),
    [
        ('columns.{} = "sum"', "n p f"),
        ('columns.{} = "max"', "n p f t at tz d h"),
        ('columns.{} = "min"', "n p f t at tz d h"),
        ('columns.{} = "none"', "n p f t b u at tz d h j y a"),
        ('columns.{} = "prefer main"', "n p f t b u at tz d h j y a"),
        ('newest = "{}"', "n t at tz d"),
        ('owner = "{}"', "id n t u"),
        ('dropped = ["{}"]', "n p f t b u at tz d h j y a"),
    ],
)
def test_which_types_a_rule_fits(said: str, columns: str) -> None:
    chosen = [name for name in KINDS_OF_STOCK if (name != "id" or "owner" in said) and fits(said.format(name))]
    assert chosen == [name for name in KINDS_OF_STOCK if name in columns.split()]


def test_the_rules_of_a_table_are_those_of_the_table_of_keys() -> None:
    declared = {key.parts[2]: key for key in KEYS if key.parts[0] == "table"}
    assert set(TableRules.__struct_fields__) <= declared.keys()
    assert {key.parts[1] for key in KEYS if key.parts[0] == "default"} <= set(TableRules.__struct_fields__)
    assert {key.parts[2] for key in KEYS if key.parts[0] == "invariant"} == set(Invariant.__struct_fields__)
