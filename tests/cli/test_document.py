from __future__ import annotations

import shutil
import subprocess

import pytest

from prontosync.cli import manual
from prontosync.cli.document import Document, Paragraph, Verbatim, configuration_document
from prontosync.cli.markdown import markdown
from prontosync.cli.roff import roff
from prontosync.disk.config import KEYS, SECTIONS


def test_the_configuration_is_listed_by_section() -> None:
    text = markdown(configuration_document())
    for key in KEYS:
        assert key.meaning in text
    for section in SECTIONS:
        assert f"## [{section.replace('*', 'NAME')}]" in text
    assert roff(configuration_document()).startswith('.TH PRONTOSYNC-CONFIG 5 ""')


def test_roff_requests_and_escapes_in_text_stay_text() -> None:
    blocks = (Paragraph(".so /etc/passwd \\fB"), Verbatim(("'quoted", ".TH x")))
    source = roff(Document("x", "x", "y", 1, blocks))
    assert "\\&.so /etc/passwd \\efB" in source
    assert "\n\\&'quoted\n\\&.TH x\n" in source


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is a check of convenience")
def test_mandoc_has_nothing_to_say_but_the_missing_date() -> None:
    for path, text in manual.render().items():
        if path.startswith("man/"):
            done = subprocess.run(["mandoc", "-T", "lint"], input=text, capture_output=True, text=True, check=False)
            talk = [line for line in done.stdout.splitlines() if "missing date" not in line]
            assert talk == [], path
