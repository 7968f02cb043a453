"""fishpipe schema."""

from __future__ import annotations

import json
from typing import Final

import click

from fishpipe.cli.common import out

_EDITORS: Final = """\
The YAML language server (VS Code's YAML extension, Neovim, Helix, Zed, Emacs) and JetBrains' editors
read the first line that fishpipe writes into a new manifest:

    # yaml-language-server: $schema=./schemas/fishpipe.schema.json

For manifests without that line:

VS Code, in .vscode/settings.json (with the extension redhat.vscode-yaml):
{vscode}

Neovim, with nvim-lspconfig:
local names = {{ {bare} }}
local schemas = {{ [{path}] = names }}
require("lspconfig").yamlls.setup {{ settings = {{ yaml = {{ schemas = schemas }} }} }}

Helix, in ~/.config/helix/languages.toml:
[language-server.yaml-language-server.config.yaml.schemas]
{path} = {names}

Zed, in settings.json:
{zed}

JetBrains: Settings | Languages & Frameworks | Schemas and DTDs | JSON Schema Mappings: add
{file}
for the file path pattern fishpipe.yaml.

Emacs, with lsp-mode:
(setq lsp-yaml-schemas '(:{file} {names}))
"""


@click.command()
@click.option("--path", is_flag=True, help="Print where the schema lies.")
@click.option("--install", is_flag=True, help="Print the settings that make an editor use it.")
def command(path: bool, install: bool) -> int:
    r"""Print the manifest's JSON Schema: editors complete and explain every field with it.

    \b
      fishpipe schema > schemas/fishpipe.schema.json
      fishpipe schema --install
    """
    from fishpipe.manifest.definitions import schema_path

    if install:
        out(_installed(schema_path().as_uri()))
    else:
        out(str(schema_path()) if path else schema_path().read_text(encoding="utf-8").rstrip())
    return 0


def _installed(file: str) -> str:
    names = ["fishpipe.yaml", "*.fishpipe.yaml"]
    vscode = json.dumps({"yaml.schemas": {file: names}}, indent=2)
    zed = json.dumps({"lsp": {"yaml-language-server": {"settings": {"yaml": {"schemas": {file: names}}}}}}, indent=2)
    bare = ", ".join(map(json.dumps, names))
    told = {
        "bare": bare,
        "vscode": vscode,
        "zed": zed,
        "file": file,
        "path": json.dumps(file),
        "names": json.dumps(names),
    }
    return _EDITORS.format(**told).rstrip()
