"""Show the first findings of a SARIF file as annotations, and put the data folder before its paths.

GitHub resolves paths from the root of the repository; labelaudit writes them from the data folder.
Without a file, where the gate could not decide, nothing is done.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import quote, unquote

MOST = 10  # GitHub shows no more warnings of a step


TEXT, PROPERTY = "%\r\n", "%\r\n:,"


def escaped(text: str, characters: str) -> str:
    """Return text for a workflow command: its message ends at a new line, its properties at a comma or colon."""
    for character in characters:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


file, data = Path(sys.argv[1]), sys.argv[2].strip("/").removeprefix("./")
if not file.exists():
    sys.exit()
log = json.loads(file.read_text(encoding="utf-8"))
results = log["runs"][0]["results"]
for result in results:
    location = result["locations"][0]["physicalLocation"]["artifactLocation"]
    location["uri"] = f"{quote(data)}/{location['uri']}"
    location.pop("uriBaseId", None)
for result in [result for result in results if result.get("baselineState") != "unchanged"][:MOST]:
    path = unquote(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
    message = escaped(result["message"]["text"], TEXT)
    print(f"::warning file={escaped(path, PROPERTY)},title={result['ruleId']}::{message}")
file.write_text(json.dumps(log), encoding="utf-8")
with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as output:
    output.write(f"sarif={file}\n")
