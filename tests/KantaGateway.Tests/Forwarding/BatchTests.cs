using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Forwarding;

/// <summary>A batch is many requests, carried out at the same time, and one to whoever traces it.</summary>
public sealed class BatchTests
{
    private const string CorrelationId = "X-Correlation-Id";

    /// <summary>Entries run at once and a request's context is for one thread: had none an id, each might make one of its own.</summary>
    [Fact]
    public async Task The_batch_has_its_correlation_id_before_its_entries_begin()
    {
        var body = """{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Observation/1"}},{"request":{"method":"GET","url":"Observation/2"}}]}"""u8.ToArray();
        var outer = new DefaultHttpContext { Response = { Body = new MemoryStream() } };
        var scopes = new Scopes(() => outer.Response.Headers[CorrelationId].ToString());
        var answered = new List<string>();

        await new BatchSplitter(scopes).AnswerAsync(outer, Somebody, new Reading.Batch(RequestScan.Read(body), body), inner =>
        {
            lock (answered)
                answered.Add(Gateway.Faults.Correlation.Of(inner));
            return Task.CompletedTask;
        });

        Assert.Equal(2, scopes.Seen.Count);
        Assert.All(scopes.Seen.Concat(answered), id => Assert.Equal(outer.Response.Headers[CorrelationId].ToString(), id));
        Assert.NotEqual("", outer.Response.Headers[CorrelationId].ToString());
    }

    private static Requester Somebody => new()
    {
        Kind = RequesterKind.System,
        ClientId = "aurora",
        Organisation = Oid.Parse("1.2.246.10.99000011"),
        OrganisationName = "Aurora",
        ControllerKind = ControllerKind.Private,
        PurposeOfUse = "TREAT",
        TokenId = "t",
        Scopes = [],
        Expires = DateTimeOffset.MaxValue,
    };

    /// <summary>Each entry opens a scope first: what is to be seen then is noted.</summary>
    private sealed class Scopes(Func<string> look) : IServiceScopeFactory
    {
        public List<string> Seen { get; } = [];

        public IServiceScope CreateScope()
        {
            lock (Seen)
                Seen.Add(look());
            return new ServiceCollection().BuildServiceProvider().CreateScope();
        }
    }
}
