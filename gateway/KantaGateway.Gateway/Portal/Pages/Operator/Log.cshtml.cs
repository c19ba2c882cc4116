using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>How far the audit log is, and who vouches for it.</summary>
[ForOperators(OperatorRole.Onboarding, OperatorRole.DataProtection, OperatorRole.Keys)]
internal sealed class OperatorLogModel(ILogStanding standing) : OperatorPage
{
    public const string Address = "/operator/log";

    /// <summary>Null: it cannot be told now.</summary>
    public LogState? Log { get; private set; }

    public async Task OnGetAsync()
    {
        Log = await standing.OfAsync();
        if (Log is null)
            Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
    }
}
