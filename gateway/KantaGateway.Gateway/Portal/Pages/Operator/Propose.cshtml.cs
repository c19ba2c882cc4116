using System.Text;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Proposes a registration: a new client's, or another one of a known client.</summary>
internal sealed class ProposeModel(Onboarding onboarding) : OperatorPage
{
    /// <summary>What has to be filled in at least.</summary>
    private const string Blank = """
        {
          "client_id": "",
          "organisation_oid": "1.2.246.10.",
          "organisation_name": "",
          "controller_kind": "private",
          "system_name": "",
          "system_version": "",
          "certification_class": "A3",
          "jwks_uri": "https://",
          "token_endpoint_auth_signing_alg": ["ES384"],
          "tls_client_certificates": [],
          "scopes": ["system/*.cruds", "user/*.cruds"]
        }
        """;

    public string Registration { get; private set; } = Blank;

    /// <summary>Everything that is wrong with it.</summary>
    public IReadOnlyList<string> Errors { get; private set; } = [];

    /// <param name="client">Whose registration to begin with.</param>
    public void OnGet([FromQuery] string? client)
    {
        if (client is not null && onboarding.InForce(client) is { } known)
            Registration = ClientDirectory.Present(known with { Status = ClientStatus.Active });
    }

    public async Task<IActionResult> OnPostAsync([FromForm] string? registration)
    {
        Registration = registration ?? "";
        var (proposal, errors, refusal) = await onboarding.ProposeAsync(HttpContext, Who, Encoding.UTF8.GetBytes(Registration));
        if (proposal is not null)
            return Done("operator-proposed");
        Errors = errors;
        return Rejected(refusal);
    }
}
