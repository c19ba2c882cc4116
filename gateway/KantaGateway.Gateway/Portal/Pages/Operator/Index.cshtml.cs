using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The registered clients, what waits for a second person, and the way to suspend a client at once.</summary>
internal sealed class OperatorHomeModel(Onboarding onboarding) : OperatorPage
{
    public IReadOnlyList<RegisteredClient> Clients { get; private set; } = [];

    public IReadOnlyList<Proposal> Open { get; private set; } = [];

    public void OnGet() => (Clients, Open) = onboarding.List();

    public async Task<IActionResult> OnPostAsync([FromForm] string? client)
    {
        var refused = client is null ? DecisionRefusal.NoSuchClient : await onboarding.SuspendAsync(HttpContext, Who, client);
        if (refused is null)
            return Done("operator-suspended");
        OnGet();
        return Rejected(refused);
    }
}
