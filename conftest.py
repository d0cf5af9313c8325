"""How notebooks are run as tests (nbval)."""


def pytest_collectstart(collector):
    """Progress bars write to stderr: never compare that."""
    if type(collector).__name__ == "IPyNbFile":
        collector.skip_compare += ("stderr",)


def pytest_itemcollected(item):
    """Wait longer than nbval's 5 seconds for a cell's output on a busy machine."""
    if type(item).__name__ == "IPyNbCell":
        item.output_timeout = 60
