using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>POST /operator/acts/{id}/scope</c>: to the data protection officer, whom a breach has reached, for an open case and by what two have approved of. The answer is streamed and kept nowhere: it names people. By the
/// same approval it is asked for again, as long as that counts.
/// </summary>
public static class OperatorScopes
{
    private const string MediaType = "application/x-ndjson";

    /// <summary>Adds the address.</summary>
    public static void MapOperatorScopes(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null || options.Breach is null)
            return;
        app.MapPost("/operator/acts/{id}/scope", static context => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, who) =>
        {
            var (approvals, id) = (services.GetRequiredService<Approvals>(), (string)context.Request.RouteValues["id"]!);
            if (await OperatorClients.ReadAsync<OperatorClients.Decided>(context) is not { Digest: { } digest })
                return OperatorClients.Problem(context, 400, "Not understood", ["Send {\"digest\": ...}, the digest of the proposal that you have looked at."]);
            if (approvals.Current.Proposals.GetValueOrDefault(id) is not { Kind: ApprovalKind.BreachScope } act || ScopeCriteria.Read(act.Content) is not { } criteria)
                return OperatorClients.Refuse(context, DecisionRefusal.NoSuchProposal);
            if (await OperatorActs.CarryOutAsync(services, context, who, ApprovalKind.BreachScope, id, digest) is { } refusal)
                return OperatorClients.Refuse(context, refusal);
            act = approvals.Current.Proposals[id];
            var reading = new AuditReading(act.Id, OperatorActs.NumberOf(act.Subject), criteria.From, criteria.To, act.By.OpaqueName, act.ApprovedBy!.OpaqueName);
            var result = await services.GetRequiredService<BreachScope>().RunAsync(reading, criteria, context.RequestAborted);
            // Who is affected is itself personal: recorded before the first of them is named.
            await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture,
                $"Was given the scope of breach case {OperatorActs.NumberOf(act.Subject)}: {result.Persons.Count} persons, {result.Persons.Sum(static one => (long)one.Items.Count)} items in {result.Findings.Found.Count} of {result.Findings.Size} entries; {result.Findings.UnreadableCount} could not be read."),
                null, SHA256.HashData(Encoding.UTF8.GetBytes(result.Findings.Checkpoint)));
            return new Answer(act, criteria, result);
        }));
    }

    /// <summary>One JSON object a line: what was asked and the checkpoint, then the persons, and last how many there are, without which it is cut off.</summary>
    private sealed class Answer(Proposal act, ScopeCriteria criteria, ScopeResult result) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.ContentType = MediaType;
            await WriteAsync(httpContext.Response.Body, act.Id, OperatorActs.NumberOf(act.Subject).ToString(CultureInfo.InvariantCulture), criteria, result, httpContext.RequestAborted);
        }
    }

    internal static async Task WriteAsync(Stream body, string act, string ofCase, ScopeCriteria criteria, ScopeResult result, CancellationToken cancel)
    {
        using var line = new MemoryStream();
        await LineAsync(json =>
        {
            json.WriteString("act", act);
            json.WriteString("case", ofCase);
            json.WritePropertyName("criteria");
            json.WriteRawValue(criteria.ToString());
            json.WriteString("checkpoint", result.Findings.Checkpoint);
        });
        foreach (var person in result.Persons)
            await LineAsync(json => WritePerson(json, person, result));
        await LineAsync(json =>
        {
            json.WriteBoolean("end", true);
            json.WriteNumber("persons", result.Persons.Count);
            json.WriteNumber("items", result.Persons.Sum(static one => (long)one.Items.Count));
            json.WriteNumber("entries", result.Findings.Found.Count);
            json.WriteNumber("refused", result.Refused);
            json.WriteNumber("of_nobody", result.OfNobody);
            json.WriteNumber("read", result.Findings.Read);
            if (result.Findings.PrunedBefore > 0)
                json.WriteNumber("pruned_before", result.Findings.PrunedBefore);
            json.WriteNumber("unreadable", result.Findings.UnreadableCount);
            json.WriteStartArray("unreadable_entries");
            foreach (var index in result.Findings.Unreadable)
                json.WriteNumberValue(index);
            json.WriteEndArray();
        });

        async Task LineAsync(Action<Utf8JsonWriter> write)
        {
            line.SetLength(0);
            using (var json = new Utf8JsonWriter(line))
            {
                json.WriteStartObject();
                write(json);
                json.WriteEndObject();
            }
            line.WriteByte((byte)'\n');
            await body.WriteAsync(line.GetBuffer().AsMemory(0, (int)line.Length), cancel);
        }
    }

    private static void WritePerson(Utf8JsonWriter json, ReachedPerson person, ScopeResult result)
    {
        json.WriteString("patient", "Patient/" + person.PatientId);
        json.WriteString("first", person.First);
        json.WriteString("last", person.Last);
        json.WriteStartArray("categories");
        foreach (var category in person.Categories)
            json.WriteStringValue(category);
        json.WriteEndArray();
        json.WriteStartArray("items");
        foreach (var item in person.Items)
        {
            json.WriteStartObject();
            json.WriteString("type", item.Resource.Type);
            json.WriteString("id", item.Resource.Id);
            if (item.Resource.VersionId is { } version)
                json.WriteString("version", version);
            if (item.Resource.Controller is { } controller)
                json.WriteString("controller", controller);
            if (item.Resource.Register is { } register)
                json.WriteString("register", register);
            json.WriteString("category", DataCategory.Of(item.Resource.Type));
            json.WriteBoolean("written", item.Written);
            json.WriteString("when", item.When);
            json.WriteNumber("entry", item.Entry);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("entries");
        foreach (var (found, record) in result.Evidence[person.PatientId])
        {
            json.WriteStartObject();
            json.WriteNumber("index", found.Entry.Index);
            json.WriteString("client", record.System.ClientId);
            json.WriteString("address", record.System.Address);
            json.WriteString("organisation", record.Organisation.Oid);
            if (record.Professional is { } professional)
                json.WriteString("professional", professional.Id);
            json.WriteString("interaction", record.Interaction);
            json.WriteString("request", record.RequestId);
            json.WriteBase64String("leaf", found.Leaf);
            json.WriteStartArray("path");
            foreach (var hash in result.Findings.Prove(found).Path)
                json.WriteBase64StringValue(hash);
            json.WriteEndArray();
            // With these anybody recomputes the commitment, which is the first half of the leaf.
            json.WriteBase64String("salt", found.Entry.Salt);
            json.WriteBase64String("subject", found.Entry.Subject);
            if (found.Entry.WithheldDigest is { } withheld)
                json.WriteBase64String("withheld", withheld);
            json.WriteBase64String("record", found.Entry.Record);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }
}
