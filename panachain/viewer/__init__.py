"""The viewer: what opened records say, as data, as pages and as pictures, for the portal, `open` and exports.

Nothing of a record can run, load or be taken for a word of the program: texts are cleaned and escaped, markup goes
through an allow-list, files of others are read in bounded processes (docs/adr/0039). Never opens a file or a key, asks
no network, and decides nothing.
"""

from panachain.viewer.chart import Chart, chart
from panachain.viewer.items import Item, Told

__all__ = ["Chart", "Item", "Told", "chart"]
