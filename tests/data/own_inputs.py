"""Computed inputs as a user writes them: some are right, others are wrong."""


class Momentum:
    def __init__(self, days: int = 5):
        self.days = days

    def __call__(self, frame):
        return frame["value"].pct_change(self.days)


def volatility(frame, days=4):
    return frame["value"].pct_change().rolling(days).std()


class Centred:
    """A centred mean, which looks ahead."""

    def __call__(self, frame):
        return frame["value"].rolling(5, center=True, min_periods=1).mean()


class Gap:
    def __call__(self, frame):
        return frame["value"].where(frame["value"].rank() != 50)


class Short:
    def __call__(self, frame):
        return [1.0]


class Broken:
    def __call__(self, frame):
        return frame["volume"]
