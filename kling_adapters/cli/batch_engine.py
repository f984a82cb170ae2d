"""`kling batch --engine`: the jobs of a file in the processes of an engine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kling_adapters._text import format_sum
from kling_adapters.cli.batch_options import Options, batch_name
from kling_adapters.cli.batch_run import BatchRun
from kling_adapters.cli.estimate import add_up_highest, check_prices, estimate_lines
from kling_adapters.cli.exit_codes import ExitCode
from kling_adapters.cli.outcomes import OutcomesFile
from kling_adapters.cli.tally import Tally, format_credits
from kling_adapters.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kling_adapters.cli.batch_file import BatchFile, Line

_INTERRUPTED = "stopped following; the jobs continue, and --resume follows them again"


def run_on_engine(options: Options, requests: BatchFile) -> None:
    """Run every line on an engine. Ctrl-C stops following; the jobs go on.

    Raises:
        ConfigError: An option does not apply to an engine, or the file was run before. Nothing was sent.

    """
    import anyio

    from kling_adapters.client.settings import resolve_gateway
    from kling_adapters.plugins.manager import Plugins

    _check_options(options)
    outcomes = OutcomesFile(options.file)
    if not options.resume and outcomes.read_request_ids():
        raise ConfigError(
            f"{options.file} was run before. --resume continues it: the engine submits only lines of which it has no "
            "record. Nothing was sent"
        )
    outcomes.check()
    gateway = resolve_gateway(options.base_url).base_url
    if options.max_cost is not None:
        _check_cost(options, options.max_cost, gateway, requests.lines)
    engine = Plugins().engine(str(options.engine), options.address)
    with Tally(len(requests.lines), _INTERRUPTED) as tally:
        if requests.invalid:
            tally.report_code(ExitCode.INCOMPLETE)
        run = BatchRun(requests.lines, {}, tally, outcomes, as_json=options.as_json)
        running = engine.map(
            [line.params for line in requests.lines],
            base_url=gateway,
            name=options.name or batch_name(options.file),
            save_to=options.save_to,
            concurrency=options.concurrency,
        )
        anyio.run(partial(run.follow, running, requests.invalid))
    tally.finish()


def _check_cost(options: Options, limit: float, gateway: str, lines: Sequence[Line]) -> None:
    """Raise ConfigError if the lines could cost more than --max-cost: an engine cannot stop in the middle."""
    from kling_adapters.client.settings import resolve_journal

    journal = resolve_journal(None)
    estimates = estimate_lines({"base_url": gateway, "journal": journal, "rate_limit": None}, lines)
    if options.allow_unknown_cost is None:
        check_prices(lines, estimates)
    if (total := add_up_highest(estimates, options.allow_unknown_cost)) > limit:
        raise ConfigError(
            f"the lines may cost up to {format_credits(total)}, which is more than --max-cost {format_sum(limit)}. With "
            "--engine all lines count, also those of an earlier run. Nothing was sent"
        )


def _check_options(options: Options) -> None:
    unusable = {
        "--sandbox": options.sandbox,
        "--journal": bool(options.journal),
        "--rate-limit": options.rate_limit is not None,
    }
    names = [name for name, is_used in unusable.items() if is_used]
    if names:
        raise ConfigError(
            f"{' and '.join(names)} cannot be used with --engine, which runs the jobs in other processes with their own "
            "settings. Nothing was sent"
        )
