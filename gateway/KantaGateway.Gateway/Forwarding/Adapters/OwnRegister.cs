using System.Text;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>A question that was not answered, so that nothing can be said of what asked it.</summary>
sealed class StoppedException(FhirAnswer answer) : Exception
{
    /// <summary>What the path said instead.</summary>
    public FhirAnswer Answer { get; } = answer;
}

/// <summary>What the sender's register has already, asked for by the sender: each question is a request of its own.</summary>
sealed class OwnRegister(IInnerRequests inner)
{
    /// <param name="form">Parameters; identity codes stand in a form and in no URL.</param>
    /// <exception cref="StoppedException">It was refused, or nobody could answer.</exception>
    public async ValueTask<IReadOnlyList<Resource>> SearchAsync(Requester requester, string type, string form, CancellationToken cancel)
    {
        var answer = await inner.SendAsync(requester, "POST", $"{type}/_search", Encoding.UTF8.GetBytes(form), "application/x-www-form-urlencoded", cancel: cancel);
        if (answer.Status != StatusCodes.Status200OK || ResourceParser.Parse(answer.Body).Resource is not Bundle found)
            throw new StoppedException(answer);
        return [.. found.Entry.Select(static e => e.Resource).OfType<Resource>()];
    }

    /// <summary>What the Provenances of a source say of it: empty where nothing was made of it yet.</summary>
    /// <param name="key">By which its Provenance names it.</param>
    public async ValueTask<IReadOnlyList<string?>> SourcesAsync(Requester requester, string code, string key, CancellationToken cancel) =>
        [.. (await SearchAsync(requester, "Provenance", $"patient.identifier={Token(PersonalIdentityCode.System, code)}&entity:identifier={Token("urn:ietf:rfc:3986", key)}", cancel))
            .OfType<Provenance>().SelectMany(static p => p.Entity).Select(static e => e.What?.Identifier?.Value)];

    public static string Token(string system, string? value) => Uri.EscapeDataString($"{system}|{value}");
}
