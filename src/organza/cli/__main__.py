"""The `organza` command: an explicit table of verbs, one module each, imported when it is called."""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module

from organza import __version__
from organza.errors import OrganzaError, UsageError

COMMANDS = {
    "train": ("train", "train a GAN on your data; without arguments, two minutes on MNIST"),
    "resume": ("resume", "go on with a run that was stopped, as if it had not been"),
    "finetune": ("finetune", "begin a new run from the weights of another"),
    "generate": ("generate", "make samples from a run: a grid, files, arrays or a film"),
    "apply": ("apply", "run a model that makes images from images on files of your own"),
    "interpolate": ("interpolate", "film a walk between seeds or classes, or along a direction"),
    "explore": ("explore", "show truncation, mixed styles or mixed classes in one picture"),
    "directions": ("directions", "find directions in which samples change (SeFa, PCA) and keep them"),
    "project": ("project", "find the latents of images that you have (inversion)"),
    "evaluate": ("evaluate", "score a run, or samples in files, against real data"),
    "compare": ("compare", "rank runs by their scores, where those are alike"),
    "audit": ("audit", "look for copies of the training data among the samples of a run"),
    "recipes": ("recipes", "list the families and their presets"),
    "data": ("data", "check a data source before training: organza data check SRC"),
    "plan": ("plan", "estimate parameters, memory and time before training"),
    "eject": ("eject", "copy a recipe into a file of your own, ready to edit"),
    "doctor": ("doctor", "say whether this machine is fit to train, or what ails a RUN"),
}
"""Verb: (module in organza.cli, one line of help)."""
LESS = dict.fromkeys(("generate", "interpolate", "explore", "evaluate", "audit"), "a smaller --count") | {
    "resume": "--micro-batch with a smaller number",
    "apply": "smaller tiles, such as --tile 256",
    "directions": "a smaller --samples",
    "project": "a smaller --among",
}
"""What spares memory, by verb; of others see `main`."""


def usage() -> str:
    """The overview that `organza --help` prints."""
    width = max(map(len, COMMANDS))
    verbs = "\n".join(f"  {verb:<{width}}  {line}" for verb, (_, line) in COMMANDS.items())
    return f"""usage: organza VERB [options]

Train, watch, judge, explore and ship generative adversarial networks.

{verbs}

organza VERB --help shows the options of a verb; organza --version the version.
"""


def main(argv: list[str] | None = None) -> int:
    """Run a verb; errors of the user's or the data's making end in one message, never in a traceback."""
    args = sys.argv[1:] if argv is None else argv
    try:
        return run(args)
    except OrganzaError as error:
        return fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt as error:
        if error.args:  # a signal that ended training after it had saved and said so
            return 128 + error.args[0]
        return fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return fail(f"{error}; free some space or choose another folder", 1)
    except (MemoryError, RuntimeError) as error:
        if (
            not isinstance(error, MemoryError)
            and "out of memory" not in str(error)
            and "can't allocate" not in str(error)
        ):
            raise
        training = "--micro-batch with a smaller number, a smaller --batch or a smaller --resize"
        return fail(f"out of memory; try {LESS.get(args[0], training)}", 1)


def run(args: list[str]) -> int:
    """Find the verb and hand the rest of the arguments to it."""
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if args[0] in ("-V", "--version"):
        print(f"organza {__version__}")
        return 0
    verb, rest = args[0], args[1:]
    if verb not in COMMANDS:
        close = difflib.get_close_matches(verb.lower(), COMMANDS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise UsageError(f"no verb {verb!r}{hint} Known: {', '.join(COMMANDS)}")
    return import_module(f"organza.cli.{COMMANDS[verb][0]}").main(rest)


def fail(message: str, code: int) -> int:
    """Print an error, with the rank where there are several."""
    rank = f" (rank {os.environ['RANK']})" if "RANK" in os.environ else ""
    print(f"organza{rank}: {message}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
