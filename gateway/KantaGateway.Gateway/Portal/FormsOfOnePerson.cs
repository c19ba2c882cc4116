using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Antiforgery;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// A form is good only while the session is for the person that it was made for: a citizen who has turned to another person in a second tab must not
/// decide for that one by what still stands open in the first.
/// </summary>
internal sealed class FormsOfOnePerson : IAntiforgeryAdditionalDataProvider
{
    public string GetAdditionalData(HttpContext context) => context.Features.Get<IRequesterFeature>()?.Requester.OnBehalfOf?.Compartment.Encode() ?? "";

    public bool ValidateAdditionalData(HttpContext context, string additionalData) => additionalData == GetAdditionalData(context);
}
