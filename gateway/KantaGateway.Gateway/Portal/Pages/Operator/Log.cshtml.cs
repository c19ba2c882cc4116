using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>How far the audit log is, and who vouches for it.</summary>
[ForOperators(OperatorRole.Onboarding, OperatorRole.DataProtection, OperatorRole.Keys)]
internal sealed class OperatorLogModel(ILogStanding standing, TimeProvider time) : OperatorPage
{
    public const string Address = "/operator/log";

    /// <summary>Null: it cannot be told now.</summary>
    public LogState? Log { get; private set; }

    /// <summary>Since when nobody vouches for what was recorded last; null: a quorum has cosigned all, or nobody is asked.</summary>
    public TimeSpan? Behind => Log is { MetAt: { } met } log && !(log.Cosigned >= log.Entries) ? time.GetUtcNow() - met : null;

    public async Task OnGetAsync()
    {
        Log = await standing.OfAsync();
        if (Log is null)
            Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
    }
}
