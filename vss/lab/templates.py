"""Labs to start from. A template is a ``lab.toml`` in the package; ``{seed}`` is the only thing replaced in it."""

from __future__ import annotations

from importlib import resources

from vss.errors import NotFoundError


def template_names() -> list[str]:
    """Return the names of the templates, sorted."""
    folder = resources.files("vss.lab") / "templates"
    return sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml"))


def template_text(name: str, seed: int) -> str:
    """Return the text of a template.

    Raises:
        NotFoundError: there is none of that name.
    """
    if name not in template_names():
        raise NotFoundError(f"there is no lab template '{name}': found {', '.join(template_names())}")
    text = (resources.files("vss.lab") / "templates" / f"{name}.toml").read_text("utf-8")
    return text.replace("{seed}", str(seed))
