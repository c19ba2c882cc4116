using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Whoever sees a breach opens a case, whatever her role; what is done about it the data protection officer sees to.</summary>
[ForOperators(OperatorRole.Onboarding, OperatorRole.Keys, OperatorRole.DataProtection)]
internal sealed class OperatorReportModel(CaseWork work, TimeProvider time) : OperatorPage
{
    public const string Address = "/operator/report";

    public FormProblem? Problem { get; private set; }

    /// <summary>As it was typed.</summary>
    public string? What { get; private set; }

    /// <summary>Whole hours ago that it became known, as they were typed.</summary>
    public string? Hours { get; private set; }

    public void OnGet()
    {
    }

    public async Task<IActionResult> OnPostAsync([FromForm] string? what, [FromForm] string? hours)
    {
        (What, Hours) = (what, hours?.Trim());
        // A time is written in many ways, and in another zone; how long ago it is, in one. Longer ago than ten years nobody knows.
        if (!int.TryParse(Hours is { Length: > 0 } ? Hours : "0", System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var ago) || ago > 87_600)
            Problem = new("hours", "operator.report.error.hours");
        else
            switch (await work.OpenAsync(HttpContext, Who, what, ago == 0 ? null : time.GetUtcNow().AddHours(-ago)))
            {
                case ({ } opened, _):
                    return Done("operator-reported", Who.Roles.Contains(OperatorRole.DataProtection) ? OperatorCaseModel.AddressOf(opened.Number) : Address);
                case (_, CaseFault.IdentityCode):
                    Problem = new("what", "operator.contained.error.code");
                    break;
                default:
                    Problem = new("what", "operator.report.error.what");
                    break;
            }
        return Rejected();
    }
}
