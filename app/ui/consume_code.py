"""Programs that call an endpoint, one for each language: what the Consume tab shows, and what its tests run.

A key never stands in them: they read it from the environment variable of `VARIABLE`.
"""

import json
import pprint
from collections.abc import Callable
from typing import Any

VARIABLE = "ENDPOINT_KEY"
HEADER = "azureml-model-deployment"
_NOT_JSON = object()


def code(language: str, uri: str, deployment: str, body: str) -> str:
    """A whole program that sends `body` and prints the answer; with a `deployment`, past the traffic to that one."""
    return WRITERS[language](uri, deployment, body)


def _python(uri: str, deployment: str, body: str) -> str:
    value = _value(body)
    sent = body if value is _NOT_JSON else pprint.pformat(value, indent=1, width=100, sort_dicts=False)
    given = f"data = {sent!r}" if value is _NOT_JSON else f"data = json.dumps({_inside(sent, 18)})"
    return f"""import json
import os
import urllib.error
import urllib.request

uri = {json.dumps(uri)}
{given}
headers = {{
    "Content-Type": "application/json",
    "Authorization": "Bearer " + os.environ["{VARIABLE}"],
{_line(f'    "{HEADER}": {json.dumps(deployment)},  # leave it out to follow the traffic', deployment)}}}
request = urllib.request.Request(uri, data.encode(), headers)
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    print(f"The endpoint answered {{error.code}}: {{error.read().decode()}}")
    print(error.headers)
"""


def _curl(uri: str, deployment: str, body: str) -> str:
    lines = [
        f"curl --silent --show-error --fail-with-body {_shell(uri)}",
        "--header 'Content-Type: application/json'",
        f'--header "Authorization: Bearer ${VARIABLE}"',
        *([f"--header {_shell(f'{HEADER}: {deployment}')}"] if deployment else []),
        f"--data-raw {_shell(body)}",
    ]
    return " \\\n  ".join(lines) + "\n"


def _javascript(uri: str, deployment: str, body: str) -> str:
    value = _value(body)
    sent = json.dumps(body) if value is _NOT_JSON else f"JSON.stringify({_inside(compact(value), 2)})"
    return f"""// Node.js 18 or later; save it as score.mjs.
const response = await fetch({json.dumps(uri)}, {{
  method: "POST",
  headers: {{
    "Content-Type": "application/json",
    Authorization: `Bearer ${{process.env.{VARIABLE}}}`,
{_line(f'    "{HEADER}": {json.dumps(deployment)}, // leave it out to follow the traffic', deployment)}  }},
  body: {sent},
}})
if (response.ok) {{
  console.log(await response.text())
}} else {{
  console.error(`The endpoint answered ${{response.status}}: ${{await response.text()}}`)
  process.exitCode = 1
}}
"""


def _csharp(uri: str, deployment: str, body: str) -> str:
    marked = f'client.DefaultRequestHeaders.Add("{HEADER}", {json.dumps(deployment)});'
    text = _shown(body)
    fence = '"' * max(3, _longest(text, '"') + 1)
    return f"""// C# 11 or later (.NET 7).
using System.Net.Http.Headers;
using System.Text;

using var client = new HttpClient();
var key = Environment.GetEnvironmentVariable("{VARIABLE}");
client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
{_line(f"{marked} // leave it out to follow the traffic", deployment)}
var body = {fence}
{text}
{fence};
var content = new StringContent(body, Encoding.UTF8, "application/json");
var answer = await client.PostAsync({json.dumps(uri)}, content);
var said = await answer.Content.ReadAsStringAsync();
Console.WriteLine(answer.IsSuccessStatusCode ? said : $"The endpoint answered {{(int)answer.StatusCode}}: {{said}}");
"""


def _r(uri: str, deployment: str, body: str) -> str:
    text = _shown(body)
    dashes = "-" * max(2, _longest(text, "-") + 1)
    marked = f'  add_headers("{HEADER}" = {json.dumps(deployment)}), # leave it out to follow the traffic'
    return f"""# R 4.0 or later, with the package httr.
library(httr)

body <- r"{dashes}[{text}]{dashes}"
answer <- POST(
  {json.dumps(uri)},
  add_headers(Authorization = paste("Bearer", Sys.getenv("{VARIABLE}"))),
{_line(marked, deployment)}  content_type_json(),
  body = body
)
said <- content(answer, "text", encoding = "UTF-8")
if (http_error(answer)) stop("The endpoint answered ", status_code(answer), ": ", said)
cat(said, "\\n")
"""


Writer = Callable[[str, str, str], str]
WRITERS: dict[str, Writer] = {
    "Python": _python,
    "curl": _curl,
    "C#": _csharp,
    "R": _r,
    "JavaScript": _javascript,
}
LANGUAGES = tuple(WRITERS)
COLORED = {"Python": "python", "curl": "bash", "C#": "csharp", "R": "r", "JavaScript": "javascript"}


def _value(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return _NOT_JSON


def compact(value: Any, indent: str = "", *, width: int = 96) -> str:
    """JSON over several lines, with whatever fits into `width` characters on one."""
    short = json.dumps(value, ensure_ascii=False)
    if len(short) + len(indent) <= width or not isinstance(value, dict | list) or not value:
        return short
    deeper = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(deeper + compact(each, deeper, width=width) for each in value) + f"\n{indent}]"
    lines = (
        f"{deeper}{json.dumps(key, ensure_ascii=False)}: {compact(each, deeper, width=width)}"
        for key, each in value.items()
    )
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _shown(body: str) -> str:
    value = _value(body)
    return body if value is _NOT_JSON else compact(value)


def _inside(text: str, spaces: int) -> str:
    """The lines after the first one, moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)


def _line(text: str, wanted: str) -> str:
    return f"{text}\n" if wanted else ""


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _longest(text: str, character: str) -> int:
    """How often a character stands in a row, at most."""
    longest = here = 0
    for each in text:
        here = here + 1 if each == character else 0
        longest = max(longest, here)
    return longest
