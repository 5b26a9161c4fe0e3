"""`headrace serve`: features and decisions over HTTP, before an event is in the log."""

import click

EXAMPLE = """
\b
Examples:
  headrace serve
  headrace serve --port 0
  curl -H "Authorization: Bearer $(cat .headrace/current/serve/token)" \\
       -d '{"account_id": "a1"}' http://127.0.0.1:8700/features
"""


@click.command(name="serve", epilog=EXAMPLE)
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one (default: 8700).")
@click.option(
    "--allow-remote", is_flag=True, help="Listen on an address that other machines reach; HTTP has no TLS."
)
def command(host: str | None, port: int | None, allow_remote: bool) -> None:
    """Answer POST /features and POST /score (and /batch of both), GET /health; nothing is written.

    The bearer token is HEADRACE_SERVE_TOKEN, or is made and kept in the run's home in serve/token.
    SIGTERM or Ctrl-C finishes what is being answered and stops.
    """
    import msgspec

    from features.project.running import project_of_process
    from headrace.door_note import note_door, token_of
    from headrace.worker import working
    from inference.serve.metrics import ServeMetrics
    from inference.serve.settings import ServeSettings
    from inference.serve.worker import ServeWorker, refuse_unsafe
    from runtime import environment
    from runtime.personal_keys import keys_for

    run, project = environment.current_run(), project_of_process()
    settings = environment.settings_of(
        ServeSettings,
        **({} if host is None else {"host": host}),
        **({} if port is None else {"port": port}),
        **({"allow_remote": True} if allow_remote else {}),
    )
    if not settings.token:
        settings = msgspec.structs.replace(settings, token=token_of(run))
    refuse_unsafe(settings)  # told to who starts it, before it is a worker
    with working("serve", run, settings, guard="serve") as worker:

        def ready(opened: int) -> None:
            note_door(run, settings.host, opened)
            worker.ready()
            click.echo(f"http://{settings.host}:{opened}", err=True)

        keys = keys_for(project.pipeline, run)
        server = ServeWorker(project, settings, ServeMetrics(worker.registry), worker.health, keys)
        server.run(worker.is_stopping, ready)
