using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The accessibility statement (Act 306/2019 §9; Commission Implementing Decision (EU) 2018/1523): state, defects, feedback, supervisor.</summary>
[OpenToAll, WithoutRecord]
internal sealed class AccessibilityModel(GatewayOptions options) : PageModel
{
    /// <summary>The supervisor's, as its site gives them.</summary>
    public const string SupervisorMail = "saavutettavuus@traficom.fi", SupervisorTelephone = "029 534 5000";

    /// <summary>What is known not to be accessible.</summary>
    public static readonly IReadOnlyList<string> Lacks = ["language", "files", "pdf", "words"];

    /// <summary>Where defects are reported; null: not said.</summary>
    public string? Feedback => options.AccessibilityFeedback;

    public string? FeedbackLink => Feedback is { } address && address.Contains('@') ? "mailto:" + address : Feedback;
}
