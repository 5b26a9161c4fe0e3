"""`headrace code`: what an error code or an exit code means, and what to do."""

import click

EXAMPLE = """
\b
Examples:
  headrace code E_INPUT_HOLE
  headrace code 70
  headrace code E_STORE_DOWN --json
"""


@click.command(name="code", epilog=EXAMPLE)
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(code: str, as_json: bool) -> None:
    """Say what a code means: what happened, what is safe meanwhile, and the step that goes on.

    CODE is an error code as messages begin with it, or the exit code of a worker. No server is needed.
    """
    import msgspec

    from headrace.runbook import entry

    found = entry(code)
    if as_json:
        click.echo(msgspec.json.encode({"code": code, **msgspec.structs.asdict(found)}))
        return
    click.echo(f"happened: {found.happened}\nsafe:     {found.safe}\ndo:       {found.do}")
