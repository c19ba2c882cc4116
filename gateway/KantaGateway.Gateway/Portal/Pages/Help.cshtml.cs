using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>What can be done here, what the words mean and where help is.</summary>
[OpenToAll, WithoutRecord]
internal sealed class HelpModel : PageModel
{
    /// <summary>What the law protects separately (Act 703/2023 §26, decree 457/2024 §26), as the texts name it.</summary>
    public static readonly IReadOnlyList<string> Protected = ["psychotherapy", "psychiatry", "psychology", "mental-health", "addiction", "sexual-therapy", "genetics"];

    public static readonly IReadOnlyList<string> Words = ["informing", "permit", "denial", "controller", "event"];
}
