"""Real pictures for the benchmarks of image to image, out of packages that carry some.

    pip install scikit-image scikit-learn; apt install mate-backgrounds
    python benchmarks/pictures.py photos FOLDER
    npm install emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
    python benchmarks/pictures.py emoji FOLDER --npm node_modules

`photos`: 22 colour photos, the large ones brought to 640 pixels. `emoji`: FOLDER/A (Noto) and FOLDER/B (Twemoji), 3,786
pairs of 64 x 64 pixels of the same names, transparent parts laid over white. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

PACKAGED = {
    "skimage": "data/astronaut.png data/chelsea.png data/coffee.png data/hubble_deep_field.jpg data/rocket.jpg "
    "data/motorcycle_left.png",
    "sklearn": "datasets/images/china.jpg datasets/images/flower.jpg",
    "matplotlib": "mpl-data/sample_data/grace_hopper.jpg",
}
BACKGROUNDS = (
    "abstract/Elephants.jpg nature/Aqua.jpg nature/Blinds.jpg nature/Dune.jpg nature/FreshFlower.jpg nature/Garden.jpg "
    "nature/GreenMeadow.jpg nature/LadyBird.jpg nature/RainDrops.jpg nature/Storm.jpg nature/TwoWings.jpg "
    "nature/Wood.jpg nature/YellowFlower.jpg"
)
LARGEST = 640


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("photos", "emoji"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--npm", type=Path, default=Path("node_modules"))
    parser.add_argument("--backgrounds", type=Path, default=Path("/usr/share/backgrounds/mate"))
    options = parser.parse_args()
    if options.what == "photos":
        photos(options.folder, options.backgrounds)
    else:
        emoji(options.folder, options.npm)


def photos(folder: Path, backgrounds: Path) -> None:
    """All photos as PNG."""
    paths = [backgrounds / name for name in BACKGROUNDS.split()]
    for package, names in PACKAGED.items():
        spec = find_spec(package)
        home = Path(spec.origin).parent if spec and spec.origin else Path(package)
        paths += [home / name for name in names.split()]
    if missing := [str(path) for path in paths if not path.is_file()]:
        sys.exit(f"missing, see the head of this file: {', '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        with Image.open(path) as image:
            shown = image.convert("RGB")
        shown.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        shown.save(folder / f"{path.stem}.png")
    print(f"{len(paths)} photos in {folder}")


def emoji(folder: Path, npm: Path) -> None:
    """The names that both sets have."""
    homes = [npm / f"emoji-datasource-{name}" / "img" / name / "64" for name in ("google", "twitter")]
    if missing := [str(home) for home in homes if not home.is_dir()]:
        sys.exit(f"missing, see the head of this file: {', '.join(missing)}")
    names = sorted(set.intersection(*({path.name for path in home.glob("*.png")} for home in homes)))
    for home, side in zip(homes, "AB", strict=True):
        (folder / side).mkdir(parents=True, exist_ok=True)
        for name in names:
            with Image.open(home / name) as image:
                shown = image.convert("RGBA")
            white = Image.new("RGBA", shown.size, (255, 255, 255, 255))
            Image.alpha_composite(white, shown).convert("RGB").save(folder / side / name)
    print(f"{len(names):,} pairs in {folder}")


if __name__ == "__main__":
    main()
