using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal;

/// <summary>How far disputes are: by what the record says, and by what operators have decided.</summary>
internal sealed class DisputeStandings(GatewayOptions options, IServiceProvider services)
{
    /// <summary>Where the gateway keeps no breach cases the bounds are those of one that does.</summary>
    public BreachOptions Bounds { get; } = options.Breach ?? new() { CaseFolder = "" };

    /// <summary>When the person is answered at the latest.</summary>
    public DateTimeOffset AnswerByOf(AccessRestriction restriction) => (restriction.StoredAt ?? restriction.At).AddDays(Bounds.DisputeAnswerDays);

    /// <summary>Those among a person's declarations, newest first.</summary>
    public IReadOnlyList<Dispute> Of(IEnumerable<Declaration> declarations)
    {
        var ends = services.GetService<Approvals>()?.Current.DisputeEnds;
        // What the log of decisions keeps is sealed.
        var answers = services.GetService<DisputeAnswers>();
        return [.. declarations.OfType<AccessRestriction>().OrderByDescending(static one => one.Order)
            .Select(one => new Dispute(one, AnswerByOf(one), ends?.GetValueOrDefault(one.Id) is { } end ? end with { Answer = answers?.Open(end.Answer) ?? "" } : null))];
    }
}
