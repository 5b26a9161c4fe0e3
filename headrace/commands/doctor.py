"""`headrace doctor`: what is here, what is missing, what to do next."""

import sys

import click

EXAMPLE = """
\b
Examples:
  headrace doctor
  headrace doctor --json
  headrace doctor --settings
"""
MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


@click.command(name="doctor", epilog=EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--settings", is_flag=True, help="List every HEADRACE_ variable instead.")
def command(as_json: bool, settings: bool) -> None:
    """Check versions, servers, topics, contracts and the model; exit code 1 when something is wrong.

    Where nothing was started yet, servers, run and workers are notes, and the exit code is 0.
    """
    import msgspec

    from runtime import environment

    if settings:
        for name, about in environment.known().items():
            click.echo(f"{name:45} {about}")
        return
    from headrace.doctor import examine

    findings = examine()
    if as_json:
        click.echo(msgspec.json.encode(findings).decode())
    else:
        for finding in findings:
            click.echo(f"{MARKS[finding.state]} {finding.check:13} {finding.what}")
            if finding.next_step:
                click.echo(f"{'':19} next: {finding.next_step}")
    sys.exit(any(finding.state == "wrong" for finding in findings))
