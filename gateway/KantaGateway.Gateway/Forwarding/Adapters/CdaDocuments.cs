using Hl7.Fhir.Model;
using KantaGateway.Fhir.Cda;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>
/// POST <c>$cda</c>: a CDA R2 document is archived as FHIR, with itself byte for byte, and the sender is told what became of each part of it. Its id is one
/// original's (Act 703/2023 §69): the same document again changes nothing, another one under the same id is refused.
/// </summary>
sealed class CdaDocuments(IInnerRequests inner, OwnRegister register, DisclosureAudit audit)
{
    public async Task InvokeAsync(HttpContext context)
    {
        if (await AdapterEndpoints.BodyAsync(context, [CdaAdapter.ContentType, "application/xml", "text/xml"], "CDA documents") is not { } body)
            return;
        var requester = context.Features.GetRequiredFeature<IRequesterFeature>().Requester;
        var adapted = CdaAdapter.Adapt(body, requester.Organisation.ToString());
        if (adapted.Fault is { } fault)
        {
            await audit.RefuseAsync(context, requester, null, fault, "malformed");
            return;
        }
        var answer = new Parameters();
        try
        {
            if (context.Request.Query["dry-run"] == "true")
                answer.Parameter.Add(new() { Name = "transaction", Resource = adapted.Bundle! });
            else if (await IsStoredAsync(requester, adapted, context.RequestAborted) is { } isSame)
            {
                if (!isSame)
                {
                    await audit.RefuseAsync(context, requester, null, new(FaultKind.Duplicate, "Another document has this id here. A document that replaces another has an id of its own, and names the other in relatedDocument.", "/ClinicalDocument/id"), "another document under the same id");
                    return;
                }
            }
            else
            {
                var stored = await inner.SendAsync(requester, "POST", "", ResourceParser.Serialize(adapted.Bundle!), headers: AdapterEndpoints.PassedOn(context), cancel: CancellationToken.None);
                if (stored.Status != StatusCodes.Status200OK)
                {
                    await AdapterAnswers.PassOnAsync(context, stored, adapted.Sources);
                    return;
                }
                if (stored.Headers.TryGetValue(Receipt.Header, out var receipt))
                    context.Response.Headers[Receipt.Header] = receipt;
                answer.Parameter.Add(new() { Name = "response", Resource = ResourceParser.Parse(stored.Body).Resource! });
            }
        }
        catch (StoppedException stopped)
        {
            await AdapterAnswers.PassOnAsync(context, stopped.Answer, []);
            return;
        }
        answer.Parameter.AddRange(AdapterAnswers.Of(adapted.Report));
        await AdapterAnswers.WriteAsync(context, answer);
    }

    /// <summary>Whether a document of this id is stored, and is this one; null: none is.</summary>
    private async ValueTask<bool?> IsStoredAsync(Requester requester, AdaptedDocument adapted, CancellationToken cancel)
    {
        var id = adapted.DocumentId!;
        var found = await register.SearchAsync(requester, "DocumentReference", $"patient.identifier={OwnRegister.Token(PersonalIdentityCode.System, adapted.Code)}&identifier={OwnRegister.Token(id.System!, id.Value)}", cancel);
        return found.OfType<DocumentReference>().Where(d => d.MasterIdentifier?.Value == id.Value && d.MasterIdentifier?.System == id.System).ToList() is { Count: > 0 } same
            ? same.Exists(d => d.Content.Exists(c => c.Attachment?.Hash is { } hash && hash.AsSpan().SequenceEqual(adapted.Hash))) : null;
    }
}
