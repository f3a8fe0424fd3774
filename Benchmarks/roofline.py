"""Draws the roofline of a machine and where two engines stand under it, as SVG.

    python3 Benchmarks/roofline.py RESULTS.json > docs/roofline.svg
"""

import json
import math
import pathlib
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 64, 150, 40, 52
COLOURS = {"q4_1": "#b3261e", "q8_0": "#1a5fb4", "w8a8": "#26793b", "bf16": "#a15c00"}


class Axes:
    """Both logarithmic: operations per byte of weights, and operations per second."""

    def __init__(self, rows):
        xs = [row["operations_per_byte"] for row in rows]
        ys = [value for row in rows for value in (ours(row), theirs(row), row["peak_operations_per_second"])]
        self.x = (10 ** math.floor(math.log10(min(xs) * 0.9)), 10 ** math.ceil(math.log10(max(xs) * 1.1)))
        self.y = (10 ** math.floor(math.log10(min(ys))), max(ys) * 1.6)

    def at(self, x, y):
        def share(value, ends):
            return (math.log(value) - math.log(ends[0])) / (math.log(ends[1]) - math.log(ends[0]))
        return (LEFT + share(x, self.x) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - share(y, self.y) * (HEIGHT - TOP - BOTTOM))


def ours(row):
    return row["operations_per_second"] * row["ours"] / row["tokens_per_second"]


def theirs(row):
    """llama.cpp does the same products, whatever it does to them."""
    return row["operations_per_second"] * row["theirs"] / row["tokens_per_second"]


def line(start, end, style):
    return f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" {style}/>'


def text(x, y, words, style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{words}</text>'


def grid(axes):
    for ends, is_x in ((axes.x, True), (axes.y, False)):
        for power in range(math.ceil(math.log10(ends[0])), math.floor(math.log10(ends[1])) + 1):
            value = 10 ** power
            if is_x:
                start, end = axes.at(value, axes.y[0]), axes.at(value, axes.y[1])
                yield text(start[0], start[1] + 18, f"{value:g}", 'text-anchor="middle"')
            else:
                start, end = axes.at(axes.x[0], value), axes.at(axes.x[1], value)
                yield text(start[0] - 8, start[1] + 4, f"{value / 1e9:g}", 'text-anchor="end"')
            yield line(start, end, 'stroke="#ddd"')


def roof(axes, form, peak, speed):
    """The slope of the memory up to the plateau of the instruction."""
    ridge = peak / speed
    style = f'stroke="{COLOURS[form]}" stroke-width="1.5"'
    start = max(axes.x[0], axes.y[0] / speed)
    yield line(axes.at(start, start * speed), axes.at(ridge, peak), style)
    yield line(axes.at(ridge, peak), axes.at(axes.x[1], peak), style)
    x, y = axes.at(axes.x[1], peak)
    yield text(x + 6, y + 4, f"{form}: {peak / 1e9:.0f} GOP/s", f'fill="{COLOURS[form]}"')


def draw(rows):
    """The rows with the most threads, at depths where attention hardly counts."""
    threads = max(row["threads"] for row in rows)
    rows = [row for row in rows if row["threads"] == threads and row["depth"] <= 128]
    axes = Axes(rows)
    parts = list(grid(axes))
    for form in dict.fromkeys(row["format"] for row in rows):
        own = [row for row in rows if row["format"] == form]
        peak = max(row["peak_operations_per_second"] for row in own)
        parts += roof(axes, form, peak, max(row["peak_bytes_per_second"] for row in rows))
    for row in rows:
        name = f'{row["format"]} {row["kind"]}, batch {row["batch"]}'
        colour = COLOURS[row["format"]]
        x, y = axes.at(row["operations_per_byte"], ours(row))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{name}: lmserve '
                     f'{row["ours"]:.0f} tokens/s</title></circle>')
        x, y = axes.at(row["operations_per_byte"], theirs(row))
        parts.append(f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8" stroke="{colour}"><title>{name}: llama.cpp '
                     f'{row["theirs"]:.0f} tokens/s</title></path>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(text(middle, HEIGHT - 12, "operations per byte of weights", 'text-anchor="middle"'))
    parts.append(text(LEFT, TOP - 16, f"GOP/s with {threads} threads. Dots: lmserve. Crosses: llama.cpp. Lines: what the "
                      "machine can do."))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


if __name__ == "__main__":
    models = json.loads(pathlib.Path(sys.argv[1]).read_text())["models"]
    sys.stdout.write(draw(next(iter(models.values()))))
