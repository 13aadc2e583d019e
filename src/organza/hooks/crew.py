"""Everything that watches a run, put together: what is recorded, shown, tracked, examined, drawn, scored and saved."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import final

from organza import distributed
from organza.data.source import Source
from organza.game import Clock, Game, Hook, Report, Stop, every, spaced
from organza.hooks.checkpoints import Checkpoints
from organza.hooks.console import Console, say
from organza.hooks.crowd import Crowd
from organza.hooks.doctor import Doctor, examiner
from organza.hooks.evaluation import Evaluation, show_scores
from organza.hooks.record import Recorder
from organza.hooks.samples import Samples
from organza.hooks.trackers import Trackers
from organza.hooks.waiting import Waiting
from organza.hooks.webhook import Webhook
from organza.run import Run
from organza.settings import RunSettings
from organza.trainer import Budget, Data


@final
class Crew:
    """The built-in hooks of a run. Entered while it trains; `stream` is its data, timed.

    Args:
        run: The run folder.
        game: What is played, on its device.
        source: The training data.
        data: Batches of it from any position.
        settings: What is wanted.
        budget: When the run is over.
        clock: Where it begins.
        device: Where it is computed.
    """

    def __init__(
        self,
        run: Run,
        game: Game,
        source: Source,
        data: Data,
        settings: RunSettings,
        *,
        budget: Budget,
        clock: Clock,
        device: str,
    ) -> None:
        self.run, self.game, self.source, self.settings = run, game, source, settings
        self.budget, self.clock, self.device = budget, clock, device
        self.stream, self.samples = Waiting(data), Samples(run.folder, source)
        self.saver = Checkpoints(run.checkpoints, source, keep=settings.keep)
        self.evaluation = self.evaluate_on_the_way()
        self.stack = ExitStack()
        self.hooks: list[Hook] = []
        self.console: Console | None = None

    def __enter__(self) -> Crew:
        settings = self.settings
        with self.stack:  # if one of them cannot begin, those before it end
            own = self.on_the_first_rank() if distributed.is_main() else []
            saver = every(settings.checkpoint_every, self.saver)
            self.hooks = [self.saver.see, *own, *self.scores(), saver, self.saver.late, pause(settings.pause_at)]
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stack.close()
        saved = self.saver.saved_at
        if isinstance(error, KeyboardInterrupt) and saved is not None and distributed.is_main():
            say(f"left; go on from {saved:,} samples with: organza resume {self.run.quoted}")

    def scores(self) -> list[Hook]:
        """What scores samples on the way, if that is wanted, and saves what was scored; all ranks take part."""
        evaluation = self.evaluation
        if evaluation is None or self.settings.evaluate_every is None:
            return []

        def score_and_save(report: Report) -> Stop | None:
            stop = evaluation(report)
            self.saver(report)  # so that the best moment is kept, whenever it was
            return stop

        return [every(self.settings.evaluate_every, score_and_save)]

    def begin(self) -> None:
        """Save the very beginning."""
        self.saver(Report(self.clock, {}, {}, self.game))

    def started(self) -> None:
        """The first step is about to be taken."""
        if self.console:
            self.console.await_step()

    def end(self, clock: Clock, stop: Stop | None) -> None:
        """Save the end, unless its step was refused; draw it if the run is finished."""
        self.saver(Report(clock, {}, {}, self.game, failed=self.saver.refused))
        if distributed.is_main() and (stop is None or stop.is_final):
            self.samples.finish(Report(clock, {}, {}, self.game))

    def on_the_first_rank(self) -> list[Hook]:
        """Record, show, track, examine, draw."""
        run, settings, stack = self.run, self.settings, self.stack
        trackers = Trackers(run, settings.track, samples=self.clock.samples)
        stack.callback(trackers.close)
        recorder = Recorder(run.folder / "metrics.jsonl", every=settings.log_every, epoch_size=len(self.source))
        console = Console(title=f"{run.folder}", budget=self.budget, start=self.clock)
        self.console = stack.enter_context(console)
        recorder.listeners += [console.show, trackers.row]
        recorder.measures.append(self.stream.share)
        self.samples.listeners.append(trackers.picture)
        self.saver.listeners.append(lambda score: recorder.note({"distance": score}))
        if self.evaluation:
            self.evaluation.listeners += [recorder.note, lambda row: recorder.finish(), show_scores]
        stack.callback(recorder.finish)
        hooks: list[Hook] = [recorder, console.pulse]
        if self.device == "cpu" and distributed.world() == 1:
            is_bound = self.budget.minutes is None or settings.compile  # to results, or to what was compiled for them
            crowd = Crowd(say, command=f"organza resume {run.quoted}", may_change=not is_bound)
            stack.callback(crowd.end)
            hooks.append(crowd)
        if settings.doctor != "off":
            hooks.append(self.doctor(recorder, trackers))
        if self.clock.samples == 0:
            self.samples(Report(self.clock, {}, {}, self.game))
        draw = every(settings.sample_every, self.samples) if settings.sample_every else spaced(40, self.samples)
        return [*hooks, draw]

    def doctor(self, recorder: Recorder, trackers: Trackers) -> Doctor:
        """The doctor, who measures when a row is due, and tells trackers and webhook."""
        run, settings = self.run, self.settings
        doctor = Doctor(
            run.folder,
            run.config,
            run.rows(),
            examiner(run, self.source, device=self.device),
            mode=settings.doctor,
            every=settings.doctor_every,
            share=settings.doctor_share,
        )
        recorder.measures.append(doctor.measure)
        recorder.listeners.append(doctor.heed)
        doctor.listeners.append(trackers.finding)
        if settings.webhook:
            webhook = Webhook(settings.webhook, run=str(run.folder))
            self.stack.callback(webhook.close)
            doctor.listeners.append(webhook.send)
        return doctor

    def evaluate_on_the_way(self) -> Evaluation | None:
        """What scores samples on the way, if that is wanted; it may decide which checkpoint is the best."""
        settings = self.settings
        if settings.evaluate_every is None and settings.best_by == "distance":
            return None
        evaluation = Evaluation(
            self.run,
            self.source,
            device=self.device,
            game=self.game,
            best_by=settings.best_by,
            patience=settings.patience,
            distance=self.saver.score,
        )
        if settings.best_by != "distance":
            self.saver.judge = evaluation.judge
        return evaluation


def pause(samples: int | None) -> Hook:
    """Ends the run after so many samples, as an interruption would."""

    def hook(report: Report) -> Stop | None:
        return Stop("paused") if samples is not None and report.clock.samples >= samples else None

    return hook
