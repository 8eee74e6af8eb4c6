"""Files that a job gave names which are no text: shown as well as they can be, in nobody's way."""

import os

from sqlmodel import select

from services.store.rows import Job
from tests.conftest import Stage
from tests.pages.conftest import Opened, said


def test_a_name_that_is_no_text_does_not_hide_the_others(lived: Stage, opened: Opened):
    with lived.scope() as scope:
        jobs = scope.session.exec(select(Job)).all()
        job = next(each for each in jobs if scope.studio.folders.run(each.id).exists())
        (scope.studio.folders.run(job.id) / os.fsdecode(b"outputs/caf\xe9.txt")).write_text("x")
    screen = opened("job", job=job.name, tab="outputs")
    assert not screen.exception
    assert "caf\ufffd.txt" in said(screen)
    assert "std_log.txt" in said(screen)
