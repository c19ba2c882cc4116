using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Gateway.Identification.Mandates;

/// <summary>For whom a citizen's session is now. There is no fourth case.</summary>
internal abstract record Standing
{
    private Standing() { }

    /// <summary>For herself.</summary>
    public sealed record Oneself : Standing;

    /// <summary>For another, as e-Authorizations has said within <see cref="Representations.Bound"/>.</summary>
    public sealed record For(RepresentedPerson Person) : Standing;

    /// <summary>It was for another until now.</summary>
    /// <param name="IsRefused">e-Authorizations allows it no longer; else its own session has ended, and the choice has to be made again.</param>
    public sealed record Ended(bool IsRefused) : Standing;

    /// <summary>For another, of which nobody knows at the moment whether it still may be.</summary>
    public sealed record Unknown(RepresentedPerson Person) : Standing;
}

/// <summary>How a choice ended.</summary>
internal enum ChoiceEnd { Begun, Refused, Expired, Cancelled, Unavailable }

/// <summary>
/// For whom citizens act, session by session: the choice at e-Authorizations, its answer, and the answer anew once it is older than
/// <see cref="Bound"/>.
/// </summary>
/// <remarks>
/// Kept beside the session's ticket and not in it, for every request renews the ticket, and would write back what another has ended. In the shared store it
/// is sealed and has no identity code: whom it is about is asked of the service again. Throws <see cref="SharedStateException"/> when the store does
/// not answer.
/// </remarks>
internal sealed class Representations(
    EAuthorizations service, IPseudonyms pseudonyms, ISharedState shared, IDataProtectionProvider protection, IIdentificationObserver observer, IdentificationMetrics metrics, GatewayOptions options, TimeProvider time)
{
    /// <summary>A right that has ended is relied on for this long at most after the service knows.</summary>
    public static readonly TimeSpan Bound = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan ChoiceLife = TimeSpan.FromMinutes(15);
    private static readonly Standing.Oneself Oneself = new();

    private const string Unusable = "e-Authorizations gave no answer that can be used.";

    private readonly IDataProtector _protector = protection.CreateProtector("portal representation");

    /// <param name="State">Comes back with the code.</param>
    private sealed record Choice(string State, WebApiSession Session);

    /// <param name="Person">Encoded pseudonym.</param>
    /// <param name="Asked">When the service was asked last.</param>
    private sealed record Kept(WebApiSession Session, WebApiToken Token, string Person, RepresentationKind Kind, string Name, DateTimeOffset Asked)
    {
        public RepresentedPerson Represented => new(Pseudonym.TryDecode(Person, out var compartment) ? compartment : throw new InvalidOperationException("A representation names nobody."), Kind, Name);
    }

    /// <summary>Origin of the service, where the browser is led.</summary>
    public string Origin => service.Origin;

    /// <summary>Begins a choice. For whom the session was until then stays.</summary>
    /// <param name="self">The citizen's own code.</param>
    /// <param name="language">fi, sv or en.</param>
    /// <returns>Where she chooses; null when the service begins nothing.</returns>
    public async Task<string?> BeginAsync(HttpContext context, Requester citizen, PersonalIdentityCode self, string language)
    {
        WebApiSession session;
        try
        {
            session = await service.RegisterAsync(self, context.RequestAborted).ConfigureAwait(false);
        }
        catch (EAuthorizationsException)
        {
            await RefuseAsync(context, citizen, ChoiceEnd.Unavailable, Unusable).ConfigureAwait(false);
            return null;
        }
        var choice = new Choice(Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32)), session);
        await shared.SetAsync(NameOf("choice", citizen), Seal(choice), ChoiceLife).ConfigureAwait(false);
        return service.ChoiceAddress(choice.Session, choice.State, language);
    }

    /// <summary>Ends a choice: the code becomes a token, the service says who was chosen and whether it is allowed, and only then the session is for that person.</summary>
    /// <param name="code">Null: she came back without choosing.</param>
    /// <exception cref="FaultException">The key service does not answer, or it cannot be recorded.</exception>
    public async Task<ChoiceEnd> CompleteAsync(HttpContext context, Requester citizen, string? code, string? state)
    {
        var cancel = context.RequestAborted;
        var name = NameOf("choice", citizen);
        // Somebody else's answer, an old one, or one that came twice.
        if (await ReadAsync<Choice>(name).ConfigureAwait(false) is not { } choice || state is null
            || !CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(state), Encoding.UTF8.GetBytes(choice.State)))
            return await RefuseAsync(context, citizen, ChoiceEnd.Expired, "The choice for whom to act has ended, or is another session's.").ConfigureAwait(false);
        await shared.RemoveAsync(name).ConfigureAwait(false);
        if (string.IsNullOrEmpty(code))
        {
            metrics.RefusedRepresentation("cancelled");
            return ChoiceEnd.Cancelled;
        }
        try
        {
            var asked = time.GetUtcNow();
            if (await service.RedeemAsync(code, cancel).ConfigureAwait(false) is not { } token || await service.ChosenAsync(choice.Session, token, cancel).ConfigureAwait(false) is not { } chosen)
                return await RefuseAsync(context, citizen, ChoiceEnd.Expired, "The session at e-Authorizations has ended.").ConfigureAwait(false);
            if (chosen.Code.IsTemporary != options.Identification.TestIdentityCodes)
                return await RefuseAsync(context, citizen, ChoiceEnd.Refused, "e-Authorizations named a person with a code of a kind that is not accepted here.").ConfigureAwait(false);
            var (kind, hasEnded) = await service.RightAsync(choice.Session, token, chosen.Code, cancel).ConfigureAwait(false);
            if (hasEnded)
                return await RefuseAsync(context, citizen, ChoiceEnd.Expired, "The session at e-Authorizations has ended.").ConfigureAwait(false);
            var person = await pseudonyms.OfAsync(chosen.Code, cancel).ConfigureAwait(false);
            if (kind is not { } right || person == citizen.Self)
            {
                await observer.RepresentationAsync(context, citizen, person, null, "e-Authorizations does not allow to act for the person.", cancel).ConfigureAwait(false);
                metrics.RefusedRepresentation("refused");
                return ChoiceEnd.Refused;
            }
            // No entry, no access.
            await observer.RepresentationAsync(context, citizen, person, right, null, cancel).ConfigureAwait(false);
            await shared.SetAsync(NameOf("representation", citizen), Seal(new Kept(choice.Session, token, person.Encode(), right, chosen.Name, asked)), PortalSessions.Longest).ConfigureAwait(false);
            metrics.AcceptedRepresentation();
            return ChoiceEnd.Begun;
        }
        catch (EAuthorizationsException)
        {
            return await RefuseAsync(context, citizen, ChoiceEnd.Unavailable, Unusable).ConfigureAwait(false);
        }
    }

    /// <summary>Whom the session is for, without asking the service: to be told, and to open nothing by it.</summary>
    public async Task<RepresentedPerson?> ToldAsync(Requester citizen) => (await ReadAsync<Kept>(NameOf("representation", citizen)).ConfigureAwait(false))?.Represented;

    /// <summary>Whom the session is for, asked anew where that is due.</summary>
    /// <exception cref="FaultException">The key service does not answer, or a refusal cannot be recorded.</exception>
    public async Task<Standing> OfAsync(HttpContext context, Requester citizen)
    {
        var name = NameOf("representation", citizen);
        if (await ReadAsync<Kept>(name).ConfigureAwait(false) is not { } kept)
            return Oneself;
        var now = time.GetUtcNow();
        if (now < kept.Asked + Bound)
            return new Standing.For(kept.Represented);
        var represented = kept.Represented;
        try
        {
            var cancel = context.RequestAborted;
            if (await service.RenewAsync(kept.Token, cancel).ConfigureAwait(false) is not { } token || await service.ChosenAsync(kept.Session, token, cancel).ConfigureAwait(false) is not { } chosen)
                return await EndAsync(context, citizen, kept, isRefused: false).ConfigureAwait(false);
            if (await pseudonyms.OfAsync(chosen.Code, cancel).ConfigureAwait(false) != represented.Compartment)
                return await EndAsync(context, citizen, kept, isRefused: true).ConfigureAwait(false);
            var (kind, hasEnded) = await service.RightAsync(kept.Session, token, chosen.Code, cancel).ConfigureAwait(false);
            if (kind != kept.Kind)
                return await EndAsync(context, citizen, kept, isRefused: !hasEnded).ConfigureAwait(false);
            // What has been ended meanwhile stays ended.
            return await shared.ReplaceAsync(name, Seal(kept with { Token = token, Asked = now }), PortalSessions.Longest).ConfigureAwait(false)
                ? new Standing.For(represented) : Oneself;
        }
        catch (EAuthorizationsException)
        {
            await observer.RefusedAsync(context, PortalSessions.ClientId, Unusable, context.RequestAborted).ConfigureAwait(false);
            metrics.RefusedRepresentation("unavailable");
            return new Standing.Unknown(represented);
        }
    }

    /// <summary>Back to oneself.</summary>
    public async Task EndAsync(Requester citizen) => await shared.RemoveAsync(NameOf("representation", citizen)).ConfigureAwait(false);

    private async Task<Standing> EndAsync(HttpContext context, Requester citizen, Kept kept, bool isRefused)
    {
        var name = NameOf("representation", citizen);
        // Another request of the session may have asked at the same time, and have used up what renews the token.
        if (await ReadAsync<Kept>(name).ConfigureAwait(false) is { } current && current.Asked > kept.Asked)
            return new Standing.For(current.Represented);
        await shared.RemoveAsync(name).ConfigureAwait(false);
        var reason = isRefused ? "e-Authorizations no longer allows to act for the person." : "The session at e-Authorizations has ended.";
        await observer.RepresentationAsync(context, citizen, kept.Represented.Compartment, null, reason, context.RequestAborted).ConfigureAwait(false);
        metrics.RefusedRepresentation(isRefused ? "refused" : "expired");
        return new Standing.Ended(isRefused);
    }

    private async Task<ChoiceEnd> RefuseAsync(HttpContext context, Requester citizen, ChoiceEnd end, string reason)
    {
        await observer.RefusedAsync(context, citizen.ClientId, reason, context.RequestAborted).ConfigureAwait(false);
        metrics.RefusedRepresentation(end switch { ChoiceEnd.Expired => "expired", ChoiceEnd.Unavailable => "unavailable", _ => "refused" });
        return end;
    }

    private static string NameOf(string kind, Requester citizen) => SharedKey.Of(kind, citizen.TokenId);

    private byte[] Seal<T>(T value) => _protector.Protect(JsonSerializer.SerializeToUtf8Bytes(value));

    private async Task<T?> ReadAsync<T>(string name) where T : class
    {
        if (await shared.GetAsync(name).ConfigureAwait(false) is not { } stored)
            return null;
        try
        {
            return JsonSerializer.Deserialize<T>(_protector.Unprotect(stored));
        }
        catch (CryptographicException)
        {
            // Sealed under a token key that has been replaced since.
            return null;
        }
    }
}
