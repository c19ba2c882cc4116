using System.Net;
using System.Security.Cryptography;
using KantaGateway.Fhir.Transport;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Tests.Laws;
using Microsoft.AspNetCore.Http;

namespace KantaGateway.Tests.Forwarding;

/// <summary>A content that is under way while its person's policy moves is sent once, and stored.</summary>
public sealed class StreamedContentTests
{
    [Fact]
    public async Task A_content_is_not_taken_before_the_repository_has_looked_at_the_policy()
    {
        var sent = RandomNumberGenerator.GetBytes(2_000_000);
        var (asked, received, ends) = (0, new MemoryStream(), new List<(ForwardEnd, bool)>());
        await using var world = await HeadersTests.ForwardingWorld.StartAsync(
            async context =>
            {
                if (++asked == 1)
                {
                    context.Response.StatusCode = StatusCodes.Status412PreconditionFailed;
                    context.Response.Headers[InternalHeaders.PolicyVersion] = "2";
                    return true;
                }
                await context.Request.Body.CopyToAsync(received);
                return false;
            },
            async (context, forwarder) =>
            {
                var content = new StreamedContent(context.Request);
                ForwardEnd end;
                do
                {
                    (end, _, _) = await forwarder.ForwardAsync(context, Pseudonym.Nobody, "grant", null, isWrite: true, content, (_, _) => Task.FromResult<string?>(null));
                    ends.Add((end, content.CanBeSent));
                    if (end == ForwardEnd.PolicyMoved)
                        context.Response.Clear();
                }
                while (end == ForwardEnd.PolicyMoved && ends.Count < 2);
            });

        using var content = new ByteArrayContent(sent);
        using var answer = await world.Client.PostAsync(new Uri("/fhir/Binary", UriKind.Relative), content);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal([(ForwardEnd.PolicyMoved, true), (ForwardEnd.Answered, false)], ends);
        Assert.Equal(sent, received.ToArray());
    }

    /// <summary>The gateway asks for a content when the repository does: once any of it is sent, it has been decided on.</summary>
    [Fact]
    public async Task A_policy_that_moves_while_a_content_arrives_does_not_cost_it()
    {
        await using var house = await HouseInMemory.OpenAsync(16 << 20);
        await house.AdmitAsync();
        var (first, rest) = (RandomNumberGenerator.GetBytes(1_000_000), RandomNumberGenerator.GetBytes(70_000));
        // A decision that rests on the person's permission, which is withdrawn meanwhile: what is left allows the write too.
        await house.DeclareAsync(Declarations.Informing(house.PatientId, DateTimeOffset.UtcNow));
        var permission = await house.DeclareAsync(Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow));
        var withdrawn = false;
        using var content = new Interrupted(first, async () =>
        {
            await house.WithdrawAsync(permission);
            withdrawn = true;
        }, rest);

        var stored = await house.Revontuli.SendAsync(HttpMethod.Post, "Binary", await house.Revontuli.ProfessionalTokenAsync(house.Folder.ProfessionalOf("revontuli").Id), content,
            [("X-Security-Context", "Patient/" + house.PatientId), ("Expect", "100-continue")]);

        Assert.True(withdrawn);
        Assert.True(stored.Status == 201, stored.ToString());
        var read = await house.Reader.SendAsync(HttpMethod.Get, "Binary/" + stored.Stored!.Value.Id, headers: [("Accept", "*/*")]);
        Assert.Equal((200, "image/tiff"), (read.Status, read.Headers["Content-Type"]));
        Assert.Equal(SHA256.HashData([.. first, .. rest]), SHA256.HashData(read.Body));
        Assert.Equal(1, (await house.Reader.SendAsync(HttpMethod.Get, $"Binary/_history?patient={house.PatientId}")).Json.GetProperty("total").GetInt32());
    }

    /// <summary>The grant has opened the record, and opens it no second time.</summary>
    [Fact]
    public async Task A_record_that_is_closed_while_a_content_arrives_does_not_cost_it()
    {
        await using var house = await HouseInMemory.OpenAsync(16 << 20);
        await house.AdmitAsync();
        var (first, rest) = (RandomNumberGenerator.GetBytes(1_000_000), RandomNumberGenerator.GetBytes(70_000));
        var isClosed = false;
        using var content = new Interrupted(first, () =>
        {
            house.CloseRecords();
            isClosed = true;
            return Task.CompletedTask;
        }, rest);
        var stored = await house.Revontuli.SendAsync(HttpMethod.Post, "Binary", await house.Revontuli.ProfessionalTokenAsync(house.Folder.ProfessionalOf("revontuli").Id), content,
            [("X-Security-Context", "Patient/" + house.PatientId), ("Expect", "100-continue")]);
        Assert.True(isClosed);
        Assert.True(stored.Status == 201, stored.ToString());
        var read = await house.Reader.SendAsync(HttpMethod.Get, "Binary/" + stored.Stored!.Value.Id, headers: [("Accept", "*/*")]);
        Assert.Equal(SHA256.HashData([.. first, .. rest]), SHA256.HashData(read.Body));
    }

    /// <summary>A content with something that happens in the middle of it.</summary>
    private sealed class Interrupted : HttpContent
    {
        private readonly byte[] _first, _rest;
        private readonly Func<Task> _between;

        public Interrupted(byte[] first, Func<Task> between, byte[] rest)
        {
            (_first, _between, _rest) = (first, between, rest);
            Headers.ContentType = new("image/tiff");
        }

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(_first);
            await stream.FlushAsync();
            await _between();
            await stream.WriteAsync(_rest);
        }

        protected override bool TryComputeLength(out long length) => (length = 0) > 0;
    }
}
