using KantaGateway.Gateway.Consent;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>What is in force.</summary>
internal sealed class ConsentModel(OwnDeclarations declarations, Visits visits, Texts texts) : CitizenPage
{
    /// <param name="Target"><c>all</c>, <c>event</c> or <c>other</c>.</param>
    /// <param name="Since">Null for one that nobody can read, so it cannot be withdrawn here.</param>
    public sealed record Line(string Id, string Target, string ServiceEvent, string Title, DateTimeOffset? Since);

    public DeclarationState State { get; private set; } = new(null, null, [], []);

    public IReadOnlyList<Line> Denials { get; private set; } = [];

    public async Task OnGetAsync(CancellationToken cancel)
    {
        State = await declarations.ReadAsync(Citizen, cancel);
        var named = State.Denials.Any(d => d.Target is DenialTarget.OfServiceEvent) ? await visits.ReadAsync(Citizen, cancel) : [];
        Denials =
        [
            .. State.Denials.Select(d => new Line(d.Id,
                d.Target is DenialTarget.All ? "all" : "event", d.Target is DenialTarget.OfServiceEvent(var oid) ? oid : "", visits.Describe(d.Target, named), d.At)),
            .. State.Unreadable.Select(id => new Line(id, "other", "", texts["consent.denial.other"], null)),
        ];
    }
}
