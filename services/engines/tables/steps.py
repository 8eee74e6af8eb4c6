"""The steps of a reading, carried out on table `t` one after the other."""

# ruff: noqa: S608 (names are quoted by duck.name, literals by duck.text)

from collections.abc import Sequence

from services.core.errors import Invalid, NotFound
from services.engines.tables import cells, duck
from services.engines.tables.readings import Step

_TYPES = {"integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "text": "VARCHAR", "timestamp": "TIMESTAMP"}


def apply(connection: duck.Connection, steps: Sequence[Step]) -> None:
    """Raises NotFound for a column that is not there, Invalid for a step that cannot be done."""
    for step in steps:
        names = [str(row[0]) for row in connection.execute("DESCRIBE t").fetchall()]
        for name in step.names:
            if name not in names:
                raise NotFound(f"There is no column '{cells.cut(name, 80)}' for the step '{step.verb}'.")
        with duck.translated(f"The step '{step.verb}'"):
            connection.execute(f"CREATE TABLE next AS {_sql(step, names)}")
            connection.execute("DROP TABLE t")
            connection.execute("ALTER TABLE next RENAME TO t")


def _sql(step: Step, names: Sequence[str]) -> str:
    listed = ", ".join(map(duck.name, step.names))
    match step.verb:
        case "take":
            return f"FROM t LIMIT {int(step.count)}"
        case "skip":
            return f"FROM t OFFSET {int(step.count)}"
        case "sample":
            return f"FROM t USING SAMPLE {step.share * 100:.6f} PERCENT (bernoulli, {int(step.seed)})"
        case "keep":
            return f"SELECT {listed} FROM t"
        case "drop":
            if set(step.names) >= set(names):
                raise Invalid("The step 'drop' leaves no column.")
            return f"SELECT * EXCLUDE ({listed}) FROM t"
        case _:
            converted = ", ".join(f"{_converted(step, name)} AS {duck.name(name)}" for name in step.names)
            return f"SELECT * REPLACE ({converted}) FROM t"


def _converted(step: Step, name: str) -> str:
    column = duck.name(name)
    if step.type == "timestamp" and step.formats:
        formats = ", ".join(map(duck.text, step.formats))
        return f"try_strptime({column}::VARCHAR, [{formats}])"
    if step.type == "boolean" and (step.true_values or step.false_values):
        true, false = (", ".join(map(duck.text, some)) or "NULL" for some in (step.true_values, step.false_values))
        words, otherwise = f"{column}::VARCHAR", step.otherwise if step.otherwise in {"true", "false"} else "NULL"
        known = f"CASE WHEN {words} IN ({true}) THEN true WHEN {words} IN ({false}) THEN false ELSE {otherwise} END"
        # The reader of delimited text knows yes and no by itself.
        return f"CASE WHEN typeof({column}) = 'BOOLEAN' THEN TRY_CAST({column} AS BOOLEAN) ELSE {known} END"
    return f"TRY_CAST({column} AS {_TYPES[step.type]})"
