"""Numbers worth telling: printed at the end of the run, never asserted."""

FIGURES: list[str] = []


def tell(text: str) -> None:
    """Note one figure."""
    FIGURES.append(text)
