"""What is measured round by round, and what its rounds say."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Contender:
    """One way to ask; @run gives what one round of it found."""

    run: object
    per_call: int = 1  # concepts, or pairs of them
    rounds: list = field(default_factory=list)

    def median(self, key):
        return statistics.median(each[key] for each in self.rounds)

    @property
    def per_second(self):
        return self.median("rate") * self.per_call

    @property
    def spread(self):
        rates = [each["rate"] for each in self.rounds]
        return f"{min(rates) / statistics.median(rates) - 1:+.0%}/{max(rates) / statistics.median(rates) - 1:+.0%}"

    def cpu(self, pid):
        """Microseconds of a process per call."""
        return statistics.median(each["cpu_us"][str(pid)] for each in self.rounds)
