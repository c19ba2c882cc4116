using System.Net;
using System.Text.RegularExpressions;
using Polly.Timeout;

namespace KantaGateway.Client;

/// <summary>Outermost: nothing personal leaves in an address, and a refusal comes back as an exception that says what to do.</summary>
sealed partial class RefusalHandler(TimeProvider time) : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        // The gateway refuses it too; but by then the address stands in the logs of all that is between.
        if (IdentityCode().IsMatch(Uri.UnescapeDataString(request.RequestUri!.PathAndQuery)))
            throw new InvalidOperationException("The address would hold a personal identity code. Search by POST (SearchUsingPostAsync), and name a Patient by its id.");
        request.Headers.TryAddWithoutValidation("X-Request-Id", Guid.NewGuid().ToString());
        HttpResponseMessage response;
        try
        {
            response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or TimeoutRejectedException && !RepeatPolicy.WasNotSent(e))
        {
            if (await Repeatable.IsAsync(request, cancellationToken).ConfigureAwait(false))
                throw;
            throw new OutcomeUnknownException(request.Headers.GetValues("X-Request-Id").First(), e);
        }
        if ((int)response.StatusCode < 400)
            return response;
        using (response)
            throw GatewayException.Of(await GatewayAnswer.ReadAsync(request, response, time, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Wider than the grammar: what only looks like one does not belong in an address either.</summary>
    [GeneratedRegex("(?<![0-9A-Za-z])[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y](?![0-9A-Za-z])")]
    private static partial Regex IdentityCode();
}

/// <summary>Adds the caller's token to each attempt; one that the gateway no longer takes is replaced once.</summary>
/// <param name="token">Asks for it, from the cache.</param>
/// <param name="forget">Told of one that was refused.</param>
/// <param name="serviceEvent">OID of the service event for which data is asked; null: the organisation's own open one.</param>
sealed class BearerHandler(Func<CancellationToken, Task<string>> token, Action<string> forget, string? serviceEvent) : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (serviceEvent is not null && !request.Headers.Contains("X-Service-Event"))
            request.Headers.TryAddWithoutValidation("X-Service-Event", serviceEvent);
        var response = await SendAsync(request, await token(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        if (response.StatusCode != HttpStatusCode.Unauthorized)
            return response;
        // Who is not identified was not served: sending it again does nothing twice, whatever it is.
        forget(request.Headers.Authorization!.Parameter!);
        response.Dispose();
        return await SendAsync(request, await token(cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
    }

    private Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, string bearer, CancellationToken cancel)
    {
        request.Headers.Authorization = new("Bearer", bearer);
        return base.SendAsync(request, cancel);
    }
}

/// <summary>Innermost: keeps the receipts of every answer.</summary>
sealed class ReceiptHandler(ReceiptJournal journal) : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
        if (await ReceivedAnswer.OfAsync(request, response, cancellationToken).ConfigureAwait(false) is { } answer)
            journal.Add(answer);
        return response;
    }
}
