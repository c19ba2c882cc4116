using System.Net;
using Microsoft.Extensions.Http.Resilience;
using Polly;
using Polly.Retry;
using Polly.Timeout;

namespace KantaGateway.Client;

/// <summary>Sends again what may be sent again, and waits as long as the gateway says.</summary>
static class RepeatPolicy
{
    /// <summary>Set on a request that was sent before and whose earlier outcome nobody knows.</summary>
    public static readonly HttpRequestOptionsKey<bool> EarlierOutcomeUnknown = new("KantaGateway.Client.EarlierOutcomeUnknown");

    /// <summary>For requests to FHIR.</summary>
    public static ResiliencePipeline<HttpResponseMessage> ForRequests(RepeatOptions options, TimeProvider time)
    {
        var pipeline = new ResiliencePipelineBuilder<HttpResponseMessage> { TimeProvider = time };
        if (options.Most > 0)
            pipeline.AddRetry(new HttpRetryStrategyOptions
            {
                MaxRetryAttempts = options.Most,
                BackoffType = DelayBackoffType.Exponential,
                UseJitter = true,
                Delay = options.FirstWait,
                MaxDelay = options.LongestWait,
                ShouldRetryAfterHeader = false, // the generator below bounds it
                DelayGenerator = args => new(args.Outcome.Result is { } response ? RetryAfter.Of(response, time) : null),
                ShouldHandle = args => ShouldAsync(args, options, time),
                OnRetry = static args =>
                {
                    if (args.Outcome.Result?.StatusCode != HttpStatusCode.TooManyRequests && !WasNotSent(args.Outcome.Exception))
                        args.Context.GetRequestMessage()?.Options.Set(EarlierOutcomeUnknown, true);
                    return default;
                },
            });
        return pipeline.AddTimeout(options.Attempt).Build();
    }

    /// <summary>For tokens: each attempt is made with an assertion of its own, so that all may be repeated.</summary>
    public static ResiliencePipeline<IssuedToken> ForTokens(RepeatOptions options, TimeProvider time)
    {
        var pipeline = new ResiliencePipelineBuilder<IssuedToken> { TimeProvider = time };
        if (options.Most > 0)
            pipeline.AddRetry(new RetryStrategyOptions<IssuedToken>
            {
                MaxRetryAttempts = options.Most,
                BackoffType = DelayBackoffType.Exponential,
                UseJitter = true,
                Delay = options.FirstWait,
                MaxDelay = options.LongestWait,
                DelayGenerator = static args => new((args.Outcome.Exception as TokenRefusedException)?.RetryAfter),
                ShouldHandle = args => new(args.Outcome.Exception switch
                {
                    TokenRefusedException { Status: 429 or 502 or 503 or 504 } refused => !(refused.RetryAfter > options.LongestWait),
                    HttpRequestException { HttpRequestError: not HttpRequestError.SecureConnectionError } or TimeoutRejectedException => true,
                    _ => false,
                }),
            });
        return pipeline.AddTimeout(options.Attempt).Build();
    }

    /// <summary>Whether it is certain that nothing of the request arrived.</summary>
    public static bool WasNotSent(Exception? e) => e is HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError or HttpRequestError.SecureConnectionError };

    private static async ValueTask<bool> ShouldAsync(RetryPredicateArguments<HttpResponseMessage> args, RepeatOptions options, TimeProvider time)
    {
        if (args.Outcome.Result is { } response)
        {
            if (RetryAfter.Of(response, time) > options.LongestWait)
                return false;
            // Who is told to wait was not served: nothing can have happened.
            if (response.StatusCode == HttpStatusCode.TooManyRequests)
                return true;
            if (response.StatusCode is not (HttpStatusCode.RequestTimeout or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout))
                return false;
        }
        // A certificate that does not hold holds no better in a second; somebody has to look at it.
        else if (args.Outcome.Exception is HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError })
            return false;
        else if (WasNotSent(args.Outcome.Exception))
            return true;
        else if (args.Outcome.Exception is not (HttpRequestException or TimeoutRejectedException))
            return false;
        return args.Context.GetRequestMessage() is { } request && await Repeatable.IsAsync(request, args.Context.CancellationToken).ConfigureAwait(false);
    }
}
