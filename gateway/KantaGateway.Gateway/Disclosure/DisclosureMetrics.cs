using System.Diagnostics.Metrics;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>How much leaves, by what right. No measurement names anybody.</summary>
/// <remarks>
/// <c>kanta.disclosure.answers</c> by <c>basis</c> and <c>interaction</c> (codes of restful-interaction): answers of the repository that were recorded and left. <c>kanta.disclosure.resources</c> by
/// <c>basis</c>: resources in them. Bases as <see cref="Consent.Explanation"/> writes them.
/// </remarks>
public sealed class DisclosureMetrics
{
    public const string Meter = "KantaGateway.Disclosure";

    private readonly Counter<long> _answers, _resources;

    public DisclosureMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(Meter);
        _answers = meter.CreateCounter<long>("kanta.disclosure.answers", "{answer}", "Answers that were recorded and left, by legal basis and interaction.");
        _resources = meter.CreateCounter<long>("kanta.disclosure.resources", "{resource}", "Resources that were recorded and left, by legal basis.");
    }

    public void Left(string basis, string interaction, int resources)
    {
        _answers.Add(1, new KeyValuePair<string, object?>("basis", basis), new KeyValuePair<string, object?>("interaction", interaction));
        if (resources > 0)
            _resources.Add(resources, new KeyValuePair<string, object?>("basis", basis));
    }
}
