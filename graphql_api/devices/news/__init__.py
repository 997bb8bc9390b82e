"""News: recorded rounds, carried to every process that listens. The only importer of the broadcaster library.

No promise rests on what is carried here: the feeds make good from the log whatever is lost, repeated, reordered
or late.
"""

from graphql_api.devices.news.announcement import Announcement
from graphql_api.devices.news.brokers import Broker, broker_of
from graphql_api.devices.news.news import News, NewsStatistics

__all__ = ["Announcement", "Broker", "News", "NewsStatistics", "broker_of"]
