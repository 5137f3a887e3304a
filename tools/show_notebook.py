"""Execute a notebook in a real kernel and print what a person would see of it.

python tools/show_notebook.py NOTEBOOK [--save]

The kernel starts in an empty temporary folder. A cell tagged ``restart`` runs in a restarted
kernel. ``--save`` writes the outputs into the notebook. The exit status is 1 if a cell failed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of a run whose kernel starts in ``folder``.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],
        resources={"metadata": {"path": str(folder)}},
    )
    asyncio.run(_run_cells(client))
    return notebook


async def _run_cells(client: NotebookClient) -> None:
    async with client.async_setup_kernel():
        for index, cell in enumerate(client.nb.cells):
            if "restart" in cell.metadata.get("tags", []):
                await client.km.restart_kernel(now=False)
                await client.kc.wait_for_ready(timeout=60)
            if cell.cell_type == "code":
                await client.async_execute_cell(cell, index)


def text_of(output: Any) -> str:
    """Return an output as a terminal would show it."""
    if output.output_type == "stream":
        return output.text.rstrip()
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    return str(output.data.get("text/plain", "")).rstrip()


def show(notebook: nbformat.NotebookNode) -> None:
    """Print the cells: prose as it is, code behind ``In [n]:``, outputs below it."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            print(cell.source, end="\n\n")
            continue
        prompt = f"In [{cell.execution_count}]: "
        print(prompt + cell.source.replace("\n", "\n" + " " * len(prompt)))
        for output in cell.outputs:
            print(text_of(output))
        print()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--save", action="store_true", help="write the outputs into the notebook")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            notebook = execute(options.notebook, Path(folder))
        except CellExecutionError as error:
            print(error)
            return 1
    show(notebook)
    if options.save:
        nbformat.write(notebook, options.notebook)
    return 0


if __name__ == "__main__":
    sys.exit(main())
