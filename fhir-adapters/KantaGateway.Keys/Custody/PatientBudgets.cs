using System.Globalization;

namespace KantaGateway.Keys.Custody;

/// <summary>Opaque name of a person or a requester in what is counted and recorded: a keyed digest, for a pseudonym is still personal data (GDPR Art. 4(5)).</summary>
readonly record struct Digest(UInt128 Value)
{
    /// <summary>32 hexadecimal digits.</summary>
    public override string ToString() => Value.ToString("x32", CultureInfo.InvariantCulture);

    public static bool TryParse(string? text, out Digest digest)
    {
        var isOne = UInt128.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value) && text is { Length: 32 };
        digest = new(value);
        return isOne;
    }
}

/// <summary>Why nothing more is given out, and for how long.</summary>
/// <param name="IsTotal">All requesters together have used the window up, and not this one.</param>
/// <param name="RetryAfter">Until the window ends.</param>
sealed record BudgetExceeded(bool IsTotal, BudgetOptions Budget, TimeSpan RetryAfter);

/// <summary>
/// Counts whose keys have been given out, by requester and in all, in every window; one that is at its end gives nobody new (law 5). Somebody whose key
/// was already given out in a window costs nothing in it. Atomic; thread-safe. Memory: a digest for each person that is counted.
/// </summary>
sealed class PatientBudgets
{
    private readonly Lock _turn = new();
    private readonly Window[] _windows;

    public PatientBudgets(IReadOnlyList<BudgetOptions> budgets) => _windows = [.. budgets.Select(static budget => new Window(budget))];

    /// <summary>The longest window; what happened before it counts no more.</summary>
    public TimeSpan Longest => _windows.Length == 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(_windows.Max(static window => window.Budget.Seconds));

    /// <summary>Counts a person in every window, or in none of them.</summary>
    /// <returns>Null: it was counted.</returns>
    public BudgetExceeded? Spend(Digest requester, Digest person, DateTimeOffset now)
    {
        lock (_turn)
        {
            foreach (var window in _windows)
                if (window.Refuses(requester, person, now) is { } exceeded)
                    return exceeded;
            foreach (var window in _windows)
                window.Add(requester, person);
            return null;
        }
    }

    /// <summary>How much of the budget of all requesters is used, window by window: its seconds, and 0 to 1.</summary>
    public IReadOnlyList<(int Seconds, double Used)> UseAt(DateTimeOffset now)
    {
        lock (_turn)
            return [.. _windows.Select(window => (window.Budget.Seconds, window.UsedAt(now)))];
    }

    /// <summary>Counts what was given out before this process began.</summary>
    public void Restore(Digest requester, Digest person, DateTimeOffset at, DateTimeOffset now)
    {
        lock (_turn)
            foreach (var window in _windows)
                if (window.Holds(at, now))
                    window.Add(requester, person);
    }

    private sealed class Window(BudgetOptions budget)
    {
        private readonly Dictionary<Digest, HashSet<Digest>> _byRequester = [];
        private readonly HashSet<Digest> _people = [];
        private long _number = long.MinValue;

        public BudgetOptions Budget => budget;

        /// <summary>Whether what was given out then counts in the window of now, or in the one after: the clock has been set back since.</summary>
        public bool Holds(DateTimeOffset at, DateTimeOffset now)
        {
            Turn(at > now && NumberOf(at) <= NumberOf(now) + 1 ? at : now);
            return NumberOf(at) == _number;
        }

        public BudgetExceeded? Refuses(Digest requester, Digest person, DateTimeOffset now)
        {
            Turn(now);
            var its = _byRequester.GetValueOrDefault(requester);
            if (its?.Contains(person) is true)
                return null;
            var isOver = (its?.Count ?? 0) >= budget.PerRequester;
            return isOver || (!_people.Contains(person) && _people.Count >= budget.Total)
                ? new(!isOver, budget, DateTimeOffset.FromUnixTimeSeconds((_number + 1) * budget.Seconds) - now) : null;
        }

        public double UsedAt(DateTimeOffset now) => NumberOf(now) > _number ? 0 : (double)_people.Count / budget.Total;

        public void Add(Digest requester, Digest person)
        {
            if (!_byRequester.TryGetValue(requester, out var its))
                _byRequester.Add(requester, its = []);
            its.Add(person);
            _people.Add(person);
        }

        // A clock that goes back opens no new window.
        private void Turn(DateTimeOffset now)
        {
            if (NumberOf(now) is var number && number <= _number)
                return;
            _number = number;
            _byRequester.Clear();
            _people.Clear();
        }

        private long NumberOf(DateTimeOffset at) => at.ToUnixTimeSeconds() / budget.Seconds;
    }
}
