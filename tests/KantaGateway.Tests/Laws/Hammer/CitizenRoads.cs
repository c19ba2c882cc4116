#pragma warning disable CA5394 // The same seed gives the same choices; nothing here is a secret.
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws.Hammer;

/// <summary>
/// The FHIR road that the portal takes, at any of several gateways. What was not answered is sent again until it is: a declaration only if there
/// is none of its moment and none is under way any more, a withdrawal only of the version that was looked at, so that nothing takes effect twice or late.
/// A third of the declarations she signs at the desk of a clinic, whose system records them: a withdrawal there is a declaration too, and so is hers of what a desk has recorded.
/// </summary>
/// <param name="gateways">The services of the gateways that run now.</param>
/// <param name="settled">Over when no declaration is on its way to the repository.</param>
/// <param name="citizen">Who declares.</param>
/// <param name="desk">The system of a clinic where she has a visit open.</param>
sealed class FhirRoad(Func<IReadOnlyList<IServiceProvider>> gateways, Func<Task> settled, Requester citizen, Requester desk, string patient, int seed) : ICitizenRoad
{
    private readonly Random _random = new(seed);
    private readonly Dictionary<Declared, (string Id, bool AtDesk)> _inForce = [];
    private DateTimeOffset _last = DateTimeOffset.UtcNow;

    /// <summary>How often a declaration had to be sent again.</summary>
    public int Repeated { get; private set; }

    /// <summary>How many declarations a desk has recorded.</summary>
    public int AtDesk { get; private set; }

    public async Task InformAsync() => await CreateAsync(at => Declarations.Informing(patient, at), atDesk: false);

    public async Task DeclareAsync(Declared what, bool inForce)
    {
        var atDesk = _random.Next(3) == 0;
        if (inForce)
            _inForce[what] = (await CreateAsync(at => Written(what, at), atDesk), atDesk);
        else if (atDesk || _inForce[what].AtDesk)
            await CreateAsync(at => Changed(Written(what, at), consent => consent["status"] = "inactive"), atDesk);
        else
            await WithdrawAsync(_inForce[what].Id);
    }

    private byte[] Written(Declared what, DateTimeOffset at) => what switch
    {
        Declared.Permission => Declarations.Permit(patient, at),
        Declared.DenialOfAll => Declarations.Denial(patient, new DenialTarget.All(), at),
        _ => Declarations.Denial(patient, new DenialTarget.OfServiceEvent(HammeredRecord.FirstEvent), at),
    };

    private static byte[] Changed(byte[] consent, Action<JsonObject> change)
    {
        var changed = JsonNode.Parse(consent)!.AsObject();
        change(changed);
        return JsonSerializer.SerializeToUtf8Bytes(changed);
    }

    private async Task<string> CreateAsync(Func<DateTimeOffset, byte[]> write, bool atDesk)
    {
        AtDesk += atDesk ? 1 : 0;
        // A moment of its own for each.
        var now = DateTimeOffset.UtcNow;
        var at = _last = now.ToUnixTimeMilliseconds() > _last.ToUnixTimeMilliseconds() ? now : _last.AddMilliseconds(1);
        var (body, moment) = (atDesk ? DeclaredAtTheDeskTests.AtDesk(write(at)) : write(at), at.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", System.Globalization.CultureInfo.InvariantCulture));
        while (true)
        {
            var answer = await SendAsync("POST", "Consent", body, by: atDesk ? desk : citizen);
            if (answer is { Status: 201 })
                return FhirReply.ParseLocation(answer.Headers.Location.ToString())!.Value.Id;
            Refused(answer);
            await settled();
            if (await FindAsync(moment) is { } stored)
                return stored;
        }
    }

    private async Task<string?> FindAsync(string moment)
    {
        while (true)
        {
            var answer = await SendAsync("GET", $"Consent?patient={patient}&date={moment}");
            if (answer is { Status: 200 })
            {
                using var found = JsonDocument.Parse(answer.Body);
                return found.RootElement.TryGetProperty("entry", out var entries) ? entries[0].GetProperty("resource").GetProperty("id").GetString() : null;
            }
            Refused(answer);
        }
    }

    private async Task WithdrawAsync(string id)
    {
        while (true)
        {
            var stored = await SendAsync("GET", "Consent/" + id);
            if (stored is { Status: 200 })
            {
                using var consent = JsonDocument.Parse(stored.Body);
                if (consent.RootElement.GetProperty("status").GetString() == "inactive")
                    return;
                var answer = await SendAsync("PUT", "Consent/" + id, Declarations.Withdrawn(consent.RootElement), new HeaderDictionary { ["If-Match"] = stored.Headers.ETag });
                if (answer is { Status: 200 })
                    return;
                if (answer is not { Status: 412 })
                    Refused(answer);
            }
            else
                Refused(stored);
        }
    }

    /// <summary>Only a system's failure is tried again.</summary>
    private void Refused(FhirAnswer? answer)
    {
        Assert.True(answer is null or { Status: >= 500 }, answer is null ? null : $"{answer.Status} {System.Text.Encoding.UTF8.GetString(answer.Body)}");
        Repeated++;
    }

    private async Task<FhirAnswer?> SendAsync(string method, string target, byte[]? body = null, IHeaderDictionary? headers = null, Requester? by = null)
    {
        var open = gateways();
        try
        {
            return await open[_random.Next(open.Count)].GetRequiredService<IInnerRequests>().SendAsync(by ?? citizen, method, target, body, headers: headers);
        }
        catch (ObjectDisposedException)
        {
            return null; // stopped under us
        }
    }
}

/// <summary>
/// The portal's pages over HTTP, at a gateway that is killed together with the repository. What is in force is looked at again after it is up.
/// </summary>
/// <param name="signIn">A browser that is signed in; waits until the gateway is up.</param>
sealed class PortalRoad(Func<Task<CitizenClient>> signIn) : ICitizenRoad
{
    private CitizenClient? _browser;

    public int Repeated { get; private set; }

    public async Task DeclareAsync(Declared what, bool inForce)
    {
        while (true)
            try
            {
                _browser ??= await signIn();
                var state = await _browser.ConsentAsync();
                var denials = state.Denials.Where(d => what == Declared.DenialOfAll ? d.Target == "all" : d.Target == "event").ToList();
                if (what == Declared.Permission ? state.Permission is not null == inForce : denials.Count > 0 == inForce)
                    return;
                switch (what, inForce)
                {
                    case (Declared.Permission, true):
                        await _browser.PermitAsync();
                        break;
                    case (Declared.Permission, false):
                        await _browser.WithdrawAsync(state.Permission!);
                        break;
                    case (Declared.DenialOfAll, true):
                        await _browser.DenyAllAsync();
                        break;
                    case (_, true):
                        await _browser.DenyEventAsync(HammeredRecord.FirstEvent);
                        break;
                    default:
                        await _browser.WithdrawAsync(denials[0].Id);
                        continue; // there may be two where one was not answered
                }
                return;
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or PortalException)
            {
                Repeated++;
                _browser?.Dispose();
                _browser = null;
            }
    }
}
