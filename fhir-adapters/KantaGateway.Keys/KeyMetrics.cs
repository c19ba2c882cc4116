using System.Diagnostics.Metrics;
using KantaGateway.Keys.Custody;

namespace KantaGateway.Keys;

/// <summary>Counts what the key service gave out and refused; labels are operations and status codes, never people.</summary>
sealed class KeyMetrics(IMeterFactory meters)
{
    public const string Meter = "KantaGateway.Keys";

    private readonly Counter<long> _served = meters.Create(Meter).CreateCounter<long>("kanta.keys.served", "{request}", "Requests that the key service served.");
    private readonly Counter<long> _refused = meters.Create(Meter).CreateCounter<long>("kanta.keys.refused", "{request}", "Requests that the key service refused.");

    private readonly Counter<long> _exceeded = meters.Create(Meter).CreateCounter<long>("kanta.keys.budget.exceeded", "{request}", "Requests that found a budget of people used up.");

    /// <summary><c>kanta.keys.budget.use</c> by <c>window</c> in seconds: how much of the budget of all requesters is used, 0 to 1.</summary>
    public void Watch(PatientBudgets budgets, TimeProvider time) => meters.Create(Meter).CreateObservableGauge("kanta.keys.budget.use",
        () => budgets.UseAt(time.GetUtcNow()).Select(static one => new Measurement<double>(one.Used, new KeyValuePair<string, object?>("window", one.Seconds))), "1", "How much of the budget of people is used, by window.");

    /// <param name="isTotal">The budget of all requesters, or else that of one.</param>
    public void Exceeded(bool isTotal) => _exceeded.Add(1, new KeyValuePair<string, object?>("budget", isTotal ? "total" : "requester"));

    public void Served(string operation) => _served.Add(1, new KeyValuePair<string, object?>("operation", operation));

    public void Refused(string operation, int status) => _refused.Add(1, new("operation", operation), new("status", status));
}
